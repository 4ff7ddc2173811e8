// A door in front of the AWS emulator, which believes anybody: it lets through what is signed by keys that STS gave, and notes it.
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { answering } from '../../contracts/command/local-server.ts';
import { isRightlySigned } from './signature.ts';

export interface AwsCall {
  service: string;
  method: string;
  path: string;
  isRight: boolean;
}

export interface AwsDoor {
  url: string;
  calls: AwsCall[];
  stop(): void;
}

const SERVICES = ['s3', 'batch'] as const;

/** Said anew by whoever sends on. */
const OF_A_CONNECTION = new Set(['host', 'content-length', 'content-encoding', 'transfer-encoding', 'connection']);

export async function startDoor(endpoint: string): Promise<AwsDoor> {
  const calls: AwsCall[] = [];
  const secrets = new Map<string, string>();

  async function judge(request: IncomingMessage, body: Buffer): Promise<AwsCall> {
    const { method = '', url = '', headers } = request;
    const [, id = '', region = '', named = ''] =
      /Credential=([^/]+)\/\d+\/([^/]+)\/([^/]+)\//.exec(headers.authorization ?? '') ?? [];
    const service = SERVICES.find((each) => each === named);
    const credentials = { accessKeyId: id, secretAccessKey: secrets.get(id) ?? '' };
    const isRight = service !== undefined && (await isRightlySigned(request, body, { service, region, credentials }));
    return { service: named || 'sts', method, path: url, isRight };
  }

  const server = answering(async (request, response) => {
    const body = await buffer(request);
    const call = await judge(request, body);
    calls.push(call);
    const isExchange = body.includes('Action=AssumeRoleWithWebIdentity');
    if (!call.isRight && !isExchange) return void response.writeHead(403).end('<Code>SignatureDoesNotMatch</Code>');
    // A door further on would find no signature of its own host: the emulator reads the service in it, and no more.
    const headers = Object.entries(request.headers).filter(([name]) => !OF_A_CONNECTION.has(name));
    const answer = await fetch(`${endpoint}${request.url}`, {
      method: request.method ?? 'GET',
      headers: headers.map(([name, value]) => [name, String(value)] as [string, string]),
      body: body.length > 0 ? new Uint8Array(body) : null,
    });
    const bytes = Buffer.from(await answer.arrayBuffer());
    if (isExchange) {
      const [id, secret] = ['AccessKeyId', 'SecretAccessKey'].map(
        (name) => new RegExp(`<${name}>([^<]+)<`).exec(bytes.toString())?.[1] ?? '',
      );
      secrets.set(id ?? '', secret ?? '');
    }
    const kept = [...answer.headers].filter(([name]) => !OF_A_CONNECTION.has(name));
    response.writeHead(answer.status, Object.fromEntries(kept)).end(bytes);
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    stop() {
      server.closeAllConnections();
      server.close();
    },
  };
}
