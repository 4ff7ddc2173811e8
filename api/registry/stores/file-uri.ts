// `file://` URIs as the stages read them: the path follows as it is, without percent-encoding.

export function toFileUri(path: string): string {
  return `file://${path}`;
}

/** The local path of a URI; undefined where it names another place (`s3://`). One without a path is the root, and not where a command stands. */
export function fromFileUri(uri: string): string | undefined {
  return uri.startsWith('file://') ? uri.slice('file://'.length) || '/' : undefined;
}
