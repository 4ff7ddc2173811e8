// Client of CloudWatch Logs: the lines of a Batch job's log, in order, and new ones as they come.
import { CloudWatchLogsClient, GetLogEventsCommand, ResourceNotFoundException } from '@aws-sdk/client-cloudwatch-logs';
import { explained } from '../../../api/registry/stores/aws-errors.ts';

export interface LogLine {
  time: string;
  message: string;
}

export interface JobLogs {
  /** Lines after `token`, and the token to go on with; no lines where the stream does not exist yet. */
  read(stream: string, token?: string): Promise<{ lines: LogLine[]; token?: string | undefined }>;
  /** The last lines, at most `limit`. */
  tail(stream: string, limit: number): Promise<LogLine[]>;
}

export function openLogs(logGroup: string, client = new CloudWatchLogsClient({})): JobLogs {
  const get = async (
    logStreamName: string,
    options: { nextToken?: string | undefined; startFromHead: boolean; limit?: number },
  ) => {
    try {
      const answer = await explained(
        `reading the log ${logStreamName}`,
        client.send(new GetLogEventsCommand({ logGroupName: logGroup, logStreamName, ...options })),
      );
      const lines = (answer.events ?? []).map(({ timestamp = 0, message = '' }) => ({
        time: new Date(timestamp).toISOString(),
        message,
      }));
      return { lines, token: answer.nextForwardToken };
    } catch (error) {
      if (error instanceof ResourceNotFoundException) return { lines: [], token: undefined };
      throw error;
    }
  };
  return {
    read: (stream, token) => get(stream, { startFromHead: true, nextToken: token }),
    tail: async (stream, limit) => (await get(stream, { startFromHead: false, limit })).lines,
  };
}
