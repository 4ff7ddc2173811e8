// Who the Worker is in AWS without a key of AWS: a provider of OpenID Connect, and the role that its tokens are exchanged for.
import { Duration } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import { WORKER_TOKEN } from '../../contracts/src/outputs.ts';

export interface WorkerIdentityProps {
  /** Host that the Worker answers at. */
  issuer: string;
  /** What it may do. */
  access: iam.ManagedPolicy;
}

export class WorkerIdentity extends Construct {
  readonly role: iam.Role;

  constructor(scope: Construct, id: string, { issuer, access }: WorkerIdentityProps) {
    super(scope, id);
    const provider = new iam.CfnOIDCProvider(this, 'Provider', {
      url: `https://${issuer}`,
      clientIdList: [WORKER_TOKEN.audience],
    });
    this.role = new iam.Role(this, 'Role', {
      assumedBy: new iam.WebIdentityPrincipal(provider.attrArn, {
        StringEquals: { [`${issuer}:aud`]: WORKER_TOKEN.audience, [`${issuer}:sub`]: WORKER_TOKEN.subject },
      }),
      description: 'What the Worker may do, with tokens that it signs itself',
      maxSessionDuration: Duration.hours(1),
      managedPolicies: [access],
    });
  }
}
