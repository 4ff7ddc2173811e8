// A repository in a temporary folder whose stages are small, real Python programs, and the command run on it as a process.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { STAGE_NAMES } from '../../contracts/src/stages.ts';
import { tinyRecipe, type WholeRecipe } from './tiny-recipe.ts';

/** Counts steps into trace.txt, checkpoints when asked to stop, and ends with a report: what every stage does, no tensor. */
const WORK = `
import hashlib, json, os, signal, sys, time
from pathlib import Path

def work(stage):
    job = json.loads(Path(sys.argv[1]).read_text())
    assert job["config"]["stage"] == stage
    out = Path(job["output"].removeprefix("file://"))
    for role, uri in job["inputs"].items():
        folder = Path(uri.removeprefix("file://"))
        assert role == "data" or (folder / "report.json").exists(), f"input {role} is not finished"
    if (out / "report.json").exists():
        sys.exit(0)
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    checkpoint = out / "checkpoint.pt"
    first = json.loads(checkpoint.read_text()) if checkpoint.exists() else 0
    slow = job["id"] in os.environ.get("SLOW_STAGE", "").split(",")
    (out / "threads.txt").write_text(os.environ.get("OMP_NUM_THREADS", ""))
    total = 400 if slow else 3
    for step in range(first, total):
        broken = Path(__file__).parents[2] / "broken-stage"
        failing = broken.read_text() if broken.exists() else os.environ.get("FAIL_STAGE")
        if failing == job["id"] and step == 1:
            print("the loss is not finite at step 1", file=sys.stderr)
            sys.exit(3)
        time.sleep(0.02 if slow else 0)
        with (out / "trace.txt").open("a") as trace:
            trace.write(f"{step}\\n")
        print(json.dumps({"event": "progress", "stage": stage, "step": step + 1, "total": total,
                          "seconds": float(step + 1), "metrics": {"loss": 1 / (step + 1)}}), flush=True)
        if stop and os.environ.get("DEAF") != "1":
            checkpoint.write_text(json.dumps(step + 1))
            sys.exit(75)
    print("a stray line on standard output")
    (out / "result.txt").write_text(stage)
    digest = "sha256:" + hashlib.sha256(stage.encode()).hexdigest()
    report = {"id": job["id"], "stage": stage, "status": "succeeded", "started_at": "2026-01-01T00:00:00.000Z",
              "seconds": 60.0, "device": "cpu", "metrics": {"loss": 0.5}, "notes": [],
              "artefacts": {"result": {"path": "result.txt", "digest": digest, "size": len(stage)}}}
    measured = Path(__file__).parents[2] / f"measured-{stage}.json"
    if measured.exists():
        report["metrics"] = json.loads(measured.read_text())
    if stage == "compare":
        (out / "comparison.md").write_text("| clip | loss |\\n")
        (out / "comparison.json").write_text(json.dumps({"at": "clip"}))
    made = Path(__file__).parents[2] / {"export": "exported", "evaluate": "evaluated"}.get(stage, "none")
    if made.exists():
        for file in made.iterdir():
            data = file.read_bytes()
            (out / file.name).write_bytes(data)
            report["artefacts"][file.name] = {"path": file.name, "size": len(data),
                                              "digest": "sha256:" + hashlib.sha256(data).hexdigest()}
    if os.environ.get("BAD_REPORT") == job["id"]:
        del report["device"]
    (out / "report.json").write_text(json.dumps(report))
`;

export interface TinyRepository {
  root: string;
  recipeFile: string;
  /** Steps that a stage executed over all attempts; empty before it ran. */
  steps(id: string): number[];
  /** The run folder of a stage; a stage that ran with several addresses has several. */
  folders(id: string): string[];
}

export function createRepository(change: (recipe: WholeRecipe) => void = () => {}): TinyRepository {
  // A space in the path: URIs and command lines have to survive it.
  const root = mkdtempSync(join(tmpdir(), 'tiny repository '));
  for (const folder of ['trainer/stages', 'trainer/towers', 'trainer/recipes', 'contracts/python', 'api', 'data']) {
    mkdirSync(join(root, folder), { recursive: true });
  }
  writeFileSync(join(root, 'trainer/towers/work.py'), WORK);
  // The folder with a language model that the recipe names.
  mkdirSync(join(root, 'trainer/tiny'));
  writeFileSync(join(root, 'trainer/tiny/config.json'), '{}');
  for (const stage of STAGE_NAMES) {
    writeFileSync(join(root, `trainer/stages/${stage}.py`), `from towers.work import work\n\nwork("${stage}")\n`);
  }
  for (const name of ['train-0.tar', 'train-1.tar', 'dev.tar', 'plain.jsonl', 'classes.json'])
    writeFileSync(join(root, 'data', name), name);
  const recipe = tinyRecipe();
  change(recipe);
  const recipeFile = join(root, 'trainer/recipes/tiny.json');
  writeFileSync(recipeFile, JSON.stringify(recipe));
  const runs = join(root, 'runs', 'tiny');
  const folders = (id: string): string[] => {
    const pattern = new RegExp(`^${id}-[0-9a-f]{12}$`);
    return readdirSync(runs)
      .filter((name) => pattern.test(name))
      .map((name) => join(runs, name));
  };
  return {
    root,
    recipeFile,
    folders,
    steps: (id) =>
      folders(id).flatMap((folder) => readFileSync(join(folder, 'trace.txt'), 'utf8').trim().split('\n').map(Number)),
  };
}

export interface CommandResult {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface Command {
  process: ChildProcess;
  /** Resolves as soon as standard output contains the text. */
  prints(text: string): Promise<void>;
  ended: Promise<CommandResult>;
}

export function startTrain(root: string, args: string[], env: Record<string, string> = {}): Command {
  return start('train', root, args, env);
}

function start(
  command: 'train' | 'model' | 'data',
  root: string,
  args: string[],
  env: Record<string, string>,
): Command {
  const drive = join(import.meta.dirname, 'drive.ts');
  const child = spawn(process.execPath, [drive, command, root, ...args], {
    env: { PATH: process.env.PATH ?? '', TRAINER_PYTHON: process.env.TRAINER_PYTHON ?? 'python3', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  const waiting = new Set<() => void>();
  child.stdout.on('data', (data: Buffer) => {
    stdout += data.toString();
    for (const look of waiting) look();
  });
  child.stderr.on('data', (data: Buffer) => {
    stderr += data.toString();
  });
  const ended = new Promise<CommandResult>((resolve) => {
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
  return {
    process: child,
    ended,
    prints(text) {
      return new Promise((resolve, reject) => {
        const look = (): void => {
          if (!stdout.includes(text)) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        child.once('close', () => reject(new Error(`ended without printing ${text}:\n${stdout}${stderr}`)));
        look();
      });
    },
  };
}

export function train(root: string, args: string[], env: Record<string, string> = {}): Promise<CommandResult> {
  return startTrain(root, args, env).ended;
}

/** `npm run model` on the repository. */
export function model(root: string, args: string[], env: Record<string, string> = {}): Promise<CommandResult> {
  return start('model', root, args, env).ended;
}

/** `npm run data` on the repository. */
export function data(root: string, args: string[], env: Record<string, string> = {}): Promise<CommandResult> {
  return start('data', root, args, env).ended;
}
