// Acknowledges a finding of the checks at the construct that it is about, with the reason beside it.
import { Validations } from 'aws-cdk-lib';
import type { IConstruct } from 'constructs';

/** `rule` carries the name of its pack, and names one finding: without either it silently matches nothing. */
export function acknowledge(construct: IConstruct, rule: `${string}::${string}`, reason: string): void {
  Validations.of(construct).acknowledge({ id: rule, reason });
}
