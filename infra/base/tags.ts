// The tags of everything that is deployed, by which its cost is told from that of others.

/** Begins the names of the stacks. */
export const PROJECT = 'edge-clip';

export const tagsOf = (environment: string) => ({ project: PROJECT, environment });
