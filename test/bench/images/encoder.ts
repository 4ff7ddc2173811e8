// Measures one core at work on photos: decode and preprocess, then the image tower, in images a second.
import { availableParallelism } from 'node:os';
import sharp from 'sharp';
import { decode } from '../../../api/encoder/pixels/decode.ts';
import { createPreprocess } from '../../../api/encoder/pixels/preprocess.ts';
import { openSession, readManifest } from '../../../api/encoder/session.ts';

export interface EncoderFigures {
  /** One photo at a time on one thread: JPEG of `photo` pixels to the graph's input. */
  preprocess_images_per_second_per_core: number;
  /** One thread, batches of `batch`: the graph's input to vectors. */
  session_images_per_second_per_core: number;
  /** Both, one after the other, as they share a core. */
  images_per_second_per_core: number;
  photo: { width: number; height: number; bytes: number };
  batch: number;
  cores: number;
}

/** `seconds`: how long each of the two is measured, after one unmeasured round. */
export async function measureEncoder(model: string, seconds = 5): Promise<EncoderFigures> {
  const manifest = await readManifest(model);
  const photo = await drawPhoto(1024, 768);
  const preprocess = createPreprocess(manifest.image.preprocess);
  const tensor = preprocess.toTensor(await decode(photo));
  const prepared = await rate(seconds, async () => {
    preprocess.toTensor(await decode(photo));
    return 1;
  });
  const batch = 8;
  const session = await openSession(model, manifest, { threads: 1 });
  const run = await rate(seconds, async () => (await session.run(Array(batch).fill(tensor))).length);
  await session.close();
  return {
    preprocess_images_per_second_per_core: prepared,
    session_images_per_second_per_core: run,
    images_per_second_per_core: 1 / (1 / prepared + 1 / run),
    photo: { width: 1024, height: 768, bytes: photo.length },
    batch,
    cores: availableParallelism(),
  };
}

/** CPU time and not wall time, so that other work on the machine does not count. */
async function rate(seconds: number, work: () => Promise<number>): Promise<number> {
  await work();
  const start = process.cpuUsage();
  const end = performance.now() + seconds * 1000;
  let images = 0;
  while (performance.now() < end) images += await work();
  const { user, system } = process.cpuUsage(start);
  return images / ((user + system) / 1e6);
}

/** Smooth colours with fine grain: compresses like a photo and is made the same everywhere. */
async function drawPhoto(width: number, height: number): Promise<Buffer> {
  const pixels = Buffer.alloc(width * height * 3);
  let seed = 1;
  for (let i = 0; i < pixels.length; i++) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    const [x, y] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width)];
    pixels[i] = 128 + 90 * Math.sin(x / (40 + 20 * (i % 3)) + y / 70) + (seed >>> 28);
  }
  return sharp(pixels, { raw: { width, height, channels: 3 } })
    .jpeg({ quality: 90 })
    .toBuffer();
}
