// Reads which text engine the deployed Workers run, from their settings for wrangler.

/**
 * Whether some environment of that wrangler.toml runs the embedded model on onnxruntime-web. The folder of static files is one for all of
 * them.
 */
export async function wantsOnnx(config: string): Promise<boolean> {
  // A second of work, which `--help` does not need.
  const { unstable_readConfig: read } = await import('wrangler');
  const variablesOf = (env?: string) => read({ config, env }, { hideWarnings: true }).vars;
  const environments = read({ config }, { hideWarnings: true }).definedEnvironments ?? [];
  return [undefined, ...environments].some((env) => variablesOf(env).TEXT_ENGINE === 'onnx');
}
