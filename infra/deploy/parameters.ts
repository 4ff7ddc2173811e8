// Parameters of the stacks that a deployment gives, and how cdk takes them.
export const STACK_OF_PARAMETER = { TrainerImageDigest: 'training', EncoderImageDigest: 'encoding' } as const;
export type StackParameterName = keyof typeof STACK_OF_PARAMETER;
