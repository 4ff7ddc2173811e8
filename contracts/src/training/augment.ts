// More captions for few images, written by a language model: what crosses to the Python half that asks it, and back.
import * as z from 'zod';
import { SchemaVersion } from '../schema-version.ts';

const count = z.int().nonnegative();
const positive = z.int().positive();

const LocalWriter = z
  .strictObject({
    type: z.literal('local').describe('A causal language model that runs in this process.'),
    weights: z
      .string()
      .describe('A Hugging Face folder, a `.gguf` file, or the import name of a package that carries one.'),
  })
  .meta({ title: 'LocalWriter', description: 'A language model on this machine: nothing leaves it.' });

const EndpointWriter = z
  .strictObject({
    type: z.literal('openai').describe("A server that speaks OpenAI's chat completions."),
    base_url: z
      .url({ protocol: /^https?$/ })
      // Of the check above JSON Schema knows only that it is an address.
      .regex(/^https?:\/\//, 'starts with http:// or https://')
      .describe('Address that ends before `/chat/completions`.'),
    model: z.string().min(1).describe('Name of the model, as the server knows it.'),
    key_variable: z.string().nullable().describe('Environment variable that holds the key; null: no key is sent.'),
    concurrency: z.int().min(1).max(64).describe('Requests at a time.'),
    timeout_seconds: positive.describe('Seconds for one answer.'),
  })
  .meta({ title: 'EndpointWriter', description: 'A language model behind an address: names and captions go there.' });

const AugmentLimits = z
  .strictObject({
    requests: count.nullable().describe('Most requests of this run; null: no limit.'),
    tokens: count.nullable().describe('Most tokens of this run, read and written; null: no limit.'),
    usd: z.number().nonnegative().nullable().describe('Most US dollars of this run; null: no limit.'),
  })
  .meta({ title: 'AugmentLimits', description: 'The budget: a request that might pass a limit is not sent.' });

const TokenPrices = z
  .strictObject({
    read: z.number().nonnegative().describe('US dollars for a million tokens that are read.'),
    written: z.number().nonnegative().describe('US dollars for a million tokens that are written.'),
  })
  .meta({ title: 'TokenPrices', description: 'What the provider charges, as the user states it.' });

export const AugmentJob = z
  .strictObject({
    schema_version: SchemaVersion,
    input: z.string().describe('File of classes or of captioned images, or folder with a folder for each class.'),
    image_column: z.string().nullable().describe('Column that names the image; null: guessed among the usual names.'),
    caption_columns: z.array(z.string()).nullable().describe('Columns of captions; null: guessed.'),
    class_column: z.string().nullable().describe('Column of classes; null: guessed.'),
    output: z.string().describe('File of JSON lines to write; its report is written beside it.'),
    cache: z.string().describe('Folder of answers by content: what is there is not asked again.'),
    prompts: z.string().nullable().describe('File of prompts; null: those of the trainer.'),
    writer: z
      .discriminatedUnion('type', [LocalWriter, EndpointWriter])
      .meta({ title: 'Writer', description: 'The language model that writes.' }),
    per_item: z.int().min(1).max(200).describe('Captions that are wanted for each class or image.'),
    language: z.string().min(1).describe('Language of the captions, as an English word.'),
    max_words: positive.describe('Words of the longest caption that is kept.'),
    answer_tokens: positive.describe('Tokens of one caption that the model may write.'),
    temperature: z.number().min(0).max(2).describe('0: always the likeliest word; above, more variety.'),
    seed: count.describe('Seed of every draw.'),
    limits: AugmentLimits,
    prices: TokenPrices.nullable().describe('Needed for a limit in dollars; null: free or unknown.'),
  })
  .meta({ title: 'AugmentJob', description: '`python -m augment job.json` reads this.' });
export type AugmentJob = z.infer<typeof AugmentJob>;

export const AugmentReport = z
  .strictObject({
    schema_version: SchemaVersion,
    model: z.string().describe('The language model: each row of captions says it as `by`.'),
    where: z.string().describe('`this machine`, or the address that was asked.'),
    prompts: z.array(z.string()).describe('Names of the prompts that were used.'),
    items: count.describe('Classes or images that captions were wanted for.'),
    complete: count.describe('Items that got as many captions as were wanted.'),
    captions: count.describe('Captions that were kept and written.'),
    dropped: z.record(z.string(), count).describe('Captions that were not kept, by reason.'),
    requests: count.describe('Requests that were sent in this run, those that failed included.'),
    cached: count.describe('Answers that were there from earlier runs.'),
    tokens_read: count.describe('Tokens of the requests of this run.'),
    tokens_written: count.describe('Tokens of the answers of this run.'),
    usd: z.number().nonnegative().nullable().describe('What this run cost by the stated prices; null: none stated.'),
    stopped: z.string().nullable().describe('Why it ended before all was asked, as a sentence; null: it did not.'),
    seconds: z.number().nonnegative().describe('Wall-clock seconds of this run.'),
    notes: z.array(z.string()).describe('Sentences on how the input was read.'),
  })
  .meta({
    title: 'AugmentReport',
    description: "What a language model added: for a person, a training report and a model's card.",
  });
export type AugmentReport = z.infer<typeof AugmentReport>;
