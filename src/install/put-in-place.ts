/**
 * Installing and removing files so that nothing of the user's is lost and nothing is half-done.
 *
 * Both verbs look at everything first, decide, and only then write. A file is ours if it is what we would
 * write now, or what we wrote last time: `installed.json` in our configuration directory keeps a digest of
 * each file, and the directories that had to be made. Any other file at one of our paths is the user's,
 * and is an error before anything is touched. Files are written beside their place and renamed.
 */
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';
import { codeOf, messageOf, remedy, UserError } from '../base/errors.js';
import { quote } from '../base/text.js';
import type { InstallFile } from './installed-files.js';

export type Action = 'created' | 'updated' | 'unchanged' | 'removed' | 'absent' | 'kept';

export interface Step {
  readonly path: string;
  readonly action: Action;
}

const recordSchema = z.object({
  version: z.literal(1),
  /** Path to the SHA-256 of what was written there. */
  files: z.record(z.string(), z.string()),
  /** Directories that had to be made, parents first. */
  directories: z.array(z.string()),
});
type InstallRecord = z.infer<typeof recordSchema>;

/** Writes `files`. Returns what was done (or, with `dryRun`, would be). Throws UserError. */
export function installAll(
  files: readonly InstallFile[],
  recordPath: string,
  dryRun: boolean,
): Step[] {
  const record = readRecord(recordPath);
  const steps = files.map((file) => ({ file, action: installAction(file, record) }));
  const made = missingDirectories([...files.map(({ path }) => path), recordPath]);
  const next: InstallRecord = {
    version: 1,
    files: Object.fromEntries(files.map(({ path, content }) => [path, digest(content)])),
    directories: [...new Set([...record.directories, ...made])].sort(),
  };
  if (!dryRun) {
    for (const directory of made) touch(directory, () => mkdirSync(directory, { mode: 0o755 }));
    for (const { file, action } of steps) {
      if (action !== 'unchanged') touch(file.path, () => replace(file.path, file.content));
    }
    const text = `${JSON.stringify(next, null, 2)}\n`;
    if (readIfThere(recordPath) !== text) touch(recordPath, () => replace(recordPath, text));
  }
  return steps.map(({ file, action }) => ({ path: file.path, action }));
}

/** Removes `files`, the record, and directories that were made for them and are empty. Throws UserError. */
export function uninstallAll(
  files: readonly InstallFile[],
  recordPath: string,
  dryRun: boolean,
): Step[] {
  const record = readRecord(recordPath);
  const steps: Step[] = files.map((file) => ({
    path: file.path,
    action: uninstallAction(file, record),
  }));
  if (dryRun) return steps;
  for (const { path, action } of steps) {
    if (action === 'removed') touch(path, () => rmSync(path));
  }
  touch(recordPath, () => rmSync(recordPath, { force: true }));
  for (const directory of [...record.directories].sort().reverse()) removeIfEmpty(directory);
  return steps;
}

function installAction(file: InstallFile, record: InstallRecord): Action {
  const present = readIfThere(file.path);
  if (present === undefined) return 'created';
  if (present === file.content) return 'unchanged';
  if (isOurs(file, present, record)) return 'updated';
  throw foreign(file.path);
}

function uninstallAction(file: InstallFile, record: InstallRecord): Action {
  const present = readIfThere(file.path);
  if (present === undefined) return 'absent';
  if (isOurs(file, present, record)) return 'removed';
  throw foreign(file.path);
}

function isOurs(file: InstallFile, present: string, record: InstallRecord): boolean {
  return present === file.content || record.files[file.path] === digest(present);
}

function foreign(path: string): UserError {
  return new UserError(
    `${quote(path)} was not written by sockswitch, or was edited since: nothing was changed; move it away (keep a copy of your changes) and run this again`,
  );
}

function readRecord(path: string): InstallRecord {
  const text = readIfThere(path);
  if (text === undefined) return { version: 1, files: {}, directories: [] };
  try {
    return recordSchema.parse(JSON.parse(text));
  } catch {
    throw new UserError(
      `${quote(path)} is damaged: remove it and run this again (files that sockswitch wrote are still recognized if they were not edited)`,
    );
  }
}

/** The directories above `paths` that do not exist, parents first. */
function missingDirectories(paths: readonly string[]): string[] {
  const missing = new Set<string>();
  for (const path of paths) {
    for (let directory = dirname(path); !existsSync(directory); directory = dirname(directory)) {
      missing.add(directory);
    }
  }
  return [...missing].sort();
}

function replace(path: string, content: string): void {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    writeFileSync(temporary, content, { mode: 0o644, flag: 'wx' });
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

function removeIfEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch (error) {
    const code = codeOf(error);
    if (code !== 'ENOTEMPTY' && code !== 'ENOENT' && code !== 'EEXIST') {
      throw new UserError(`cannot remove ${quote(directory)}: ${messageOf(error)}`);
    }
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw new UserError(
      `cannot read ${quote(path)} (${codeOf(error) ?? messageOf(error)}): correct its owner and mode, or remove it`,
    );
  }
}

function touch(path: string, act: () => void): void {
  try {
    act();
  } catch (error) {
    throw new UserError(
      `cannot change ${quote(path)} (${codeOf(error) ?? messageOf(error)}): ${remedy(error) ?? `correct the owner and mode of ${quote(dirname(path))}`} and run this again`,
    );
  }
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
