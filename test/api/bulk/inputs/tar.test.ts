// Images of a tar that another program wrote: members in order, what is no image left out, damage named.
import { execFileSync } from 'node:child_process';
import { copyFileSync, linkSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { packTar } from 'modern-tar';
import { expect, test } from 'vitest';
import { membersOfTar } from '../../../../api/bulk/inputs/tar.ts';
import { errorsIn, IMAGES, newFolder, resultsIn, runJob, writeImages } from '../jobs.ts';

/** By the system's own tar; a name of more than a hundred letters needs an extended header. */
function writeTar(): { folder: string; names: string[] } {
  const folder = newFolder('tar');
  const deep = `${'d'.repeat(90)}/${'e'.repeat(90)}`;
  mkdirSync(join(folder, deep), { recursive: true });
  copyFileSync(join(IMAGES, 'wide.png'), join(folder, '0001.png'));
  writeFileSync(join(folder, '0001.json'), '{}');
  writeFileSync(join(folder, '0002.jpg'), 'no image');
  copyFileSync(join(IMAGES, 'tall.jpg'), join(folder, deep, '0003.jpg'));
  const names = ['0001.png', '0001.json', '0002.jpg', `${deep}/0003.jpg`];
  execFileSync('tar', ['-cf', 'set.tar', ...names], { cwd: folder });
  return { folder, names };
}

test('each image of a tar is an item, named by the tar and its member', async () => {
  const { folder, names } = writeTar();
  const { output } = await runJob({ input: { tars: [`file://${folder}/set.tar`] } });
  expect(resultsIn(output).map(({ item, custom_id }) => [item, custom_id])).toEqual([
    [0, 'set/0001.png'],
    [2, `set/${names[3]}`],
  ]);
  expect(errorsIn(output).map(({ item, custom_id, code }) => [item, custom_id, code])).toEqual([
    [1, 'set/0002.jpg', 'not_an_image'],
  ]);
  const single = newFolder('one');
  copyFileSync(join(IMAGES, 'wide.png'), join(single, 'wide.png'));
  const [alone] = resultsIn((await runJob({ input: { prefix: `file://${single}` } })).output);
  expect(resultsIn(output)[0]?.embedding).toBe(alone?.embedding);
});

test('members between the images are passed over, wherever a chunk of the file ends', async () => {
  const sizes = Array.from(
    { length: 40 },
    (_, at) =>
      [
        [`${at}.jpg`, 12_345],
        [`${at}.json`, 345],
      ] as const,
  ).flat();
  const entries = sizes.map(([name, size]) => {
    return { header: { name, size, type: 'file' as const }, body: new Uint8Array(size) };
  });
  const bytes = await packTar(entries);
  async function* chunks() {
    for (let at = 0; at < bytes.length; at += 65_536) {
      yield bytes.subarray(at, at + 65_536);
      await new Promise((wake) => setTimeout(wake));
    }
  }
  const names: string[] = [];
  for await (const { name } of membersOfTar(chunks(), { most: 1e6, hasVideos: false })) names.push(name);
  expect(names).toEqual(Array.from({ length: 40 }, (_, at) => `${at}.jpg`));
});

test('a second name of a file, which a tar holds as a link, is an error and not lost', async () => {
  const folder = newFolder('tar');
  copyFileSync(join(IMAGES, 'wide.png'), join(folder, 'a.png'));
  linkSync(join(folder, 'a.png'), join(folder, 'b.png'));
  symlinkSync('a.png', join(folder, 'c.png'));
  linkSync(join(folder, 'a.png'), join(folder, 'notes.txt'));
  execFileSync('tar', ['-cf', 'set.tar', 'a.png', 'b.png', 'c.png', 'notes.txt'], { cwd: folder });
  execFileSync('tar', ['-chf', 'whole.tar', '--hard-dereference', 'a.png', 'b.png', 'c.png'], { cwd: folder });
  const tars = ['set', 'whole'].map((name) => `file://${folder}/${name}.tar`);
  const { output } = await runJob({ input: { tars } });
  const names = resultsIn(output).map(({ custom_id }) => custom_id);
  expect(names).toEqual(['set/a.png', 'whole/a.png', 'whole/b.png', 'whole/c.png']);
  expect(errorsIn(output).map(({ custom_id, code, message }) => [custom_id, code, message])).toEqual([
    ['set/b.png', 'not_found', expect.stringMatching(/a link to a\.png.*--hard-dereference/)],
    ['set/c.png', 'not_found', expect.stringContaining('a link to a.png')],
  ]);
});

test('a tar that is cut off keeps what came before, and says so', async () => {
  const { folder } = writeTar();
  const whole = readFileSync(join(folder, 'set.tar'));
  writeFileSync(join(folder, 'cut.tar'), whole.subarray(0, 512 + 1024));
  const { output } = await runJob({ input: { tars: [`file://${folder}/cut.tar`, `file://${folder}/gone.tar`] } });
  expect(errorsIn(output).map(({ custom_id, code }) => [custom_id, code])).toEqual([
    ['cut', 'broken_image'],
    ['gone', 'not_found'],
  ]);
});

test('a folder of many images and one tar of them give the same vectors', async () => {
  const folder = newFolder('many');
  await writeImages(folder, 70);
  execFileSync('tar', ['--sort=name', '-cf', 'set.tar', '--exclude=set.tar', '.'], { cwd: folder });
  const byFolder = resultsIn((await runJob({ input: { prefix: `file://${folder}` } })).output);
  const byTar = resultsIn((await runJob({ input: { tars: [`file://${folder}/set.tar`] } })).output);
  expect(byTar.map(({ embedding }) => embedding)).toEqual(byFolder.map(({ embedding }) => embedding));
});
