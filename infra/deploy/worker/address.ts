// Reads where a deployed Worker listens from what wrangler writes of its triggers.

/**
 * The address in a target, which wrangler writes for people: `https://NAME.workers.dev`, `HOST (custom domain)`,
 * `HOST/* (zone name: ZONE)`; undefined for one of no single host, and for other triggers (`schedule: …`).
 */
export function addressIn(target: string): string | undefined {
  const [first = ''] = target.split(' ');
  const address = first.replace(/\/?\*?$/, '');
  if (address.startsWith('http')) return address;
  const isHost = /^[\w-]+(\.[\w-]+)+(\/[^*]*)?$/.test(address);
  return isHost ? `https://${address}` : undefined;
}
