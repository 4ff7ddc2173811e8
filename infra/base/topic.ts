// A topic: encrypted with the key of the data, over TLS only, and which services of AWS may publish to it.
import { Aws } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as kms from 'aws-cdk-lib/aws-kms';
import * as sns from 'aws-cdk-lib/aws-sns';
import type { Construct } from 'constructs';

/** Services that publish in their own name; the key's policy names them, too. EventBridge takes a role of ours instead. */
export type Publisher = 'budgets' | 'cloudwatch';

/** On behalf of this account: the services publish for all accounts of the world. */
export const FOR_THIS_ACCOUNT = { StringEquals: { 'aws:SourceAccount': Aws.ACCOUNT_ID } };
export const principalsOf = (publishers: readonly Publisher[]) =>
  publishers.map((name) => new iam.ServicePrincipal(`${name}.amazonaws.com`));

export interface TopicProps {
  key: kms.Key;
  publishers: readonly Publisher[];
}

export function createTopic(scope: Construct, id: string, { key, publishers }: TopicProps): sns.Topic {
  const topic = new sns.Topic(scope, id, { masterKey: key, enforceSSL: true });
  topic.addToResourcePolicy(
    new iam.PolicyStatement({
      principals: principalsOf(publishers),
      actions: ['sns:Publish'],
      resources: [topic.topicArn],
      conditions: FOR_THIS_ACCOUNT,
    }),
  );
  return topic;
}
