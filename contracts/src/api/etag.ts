// Entity tags in the conditions of requests (RFC 9110, section 13), for all that answers HTTP.

/** Whether `If-None-Match` names the tag. It compares weakly: what a proxy compressed is still what was answered. */
export function isNamed(etag: string, condition: string): boolean {
  return isAny(condition) || condition.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag);
}

/** `*` names whatever there is. */
export function isAny(condition: string): boolean {
  return condition.trim() === '*';
}
