// Who the Worker is in AWS without a key of AWS: a provider of OpenID Connect, and the role that its tokens are exchanged for.
import { Duration } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';

/** As api/worker/aws/issuer.ts signs them. */
const SUBJECT = 'worker';
const AUDIENCE = 'sts.amazonaws.com';

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
      clientIdList: [AUDIENCE],
    });
    this.role = new iam.Role(this, 'Role', {
      assumedBy: new iam.WebIdentityPrincipal(provider.attrArn, {
        StringEquals: { [`${issuer}:aud`]: AUDIENCE, [`${issuer}:sub`]: SUBJECT },
      }),
      description: 'What the Worker may do, with tokens that it signs itself',
      maxSessionDuration: Duration.hours(1),
      managedPolicies: [access],
    });
  }
}
