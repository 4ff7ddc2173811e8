// The state machine as it is deployed: its definition out of the template, references as readable names in place of ARNs.
import type { StateMachineDefinition } from 'aws-local-stepfunctions';
import { one, synthesis, text } from './synthesis.ts';

/** With references between CloudFormation resources replaced: `<TrainingControlPlan70B7931B.Arn>`. */
export function stateMachineDefinition(environment: 'dev' | 'prod'): StateMachineDefinition {
  const { properties } = one(synthesis(environment).templates.training, 'AWS::StepFunctions::StateMachine');
  return JSON.parse(text(properties.DefinitionString));
}
