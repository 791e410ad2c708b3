/**
 * What `sockswitch with` leaves for the programs that it starts: files in `$XDG_RUNTIME_DIR/sockswitch/with`.
 *
 * A file's name has a digest of what its content follows from, so that it never changes, several commands can use it at once, and a
 * command that is killed leaves nothing half-made. None is removed: a container's clean-up, which Podman starts long
 * after the command has ended, reads the same configuration. They go with the runtime directory, at logout.
 */
import { createHash } from 'node:crypto';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { codeOf, messageOf, remedy, UserError } from '../base/errors.js';
import { ensureRuntimeDirectory, type RuntimePaths } from '../base/paths.js';
import { quote } from '../base/text.js';

export class WithFiles {
  readonly #directory: string;

  /** Makes the directory where it is missing. Throws UserError. */
  constructor(runtime: Pick<RuntimePaths, 'directory'>) {
    ensureRuntimeDirectory(runtime.directory);
    this.#directory = join(runtime.directory, 'with');
    this.#touch(this.#directory, () =>
      mkdirSync(this.#directory, { recursive: true, mode: 0o700 }),
    );
  }

  /** The path of a file whose content follows from its name; `make` is called where there is none. */
  async keep(name: string, make: () => string | Promise<string>): Promise<string> {
    const path = join(this.#directory, name);
    if (existsSync(path)) return path;
    const content = await make();
    this.#touch(path, () => {
      this.#replace(path, (temporary) =>
        writeFileSync(temporary, content, { mode: 0o600, flag: 'wx' }),
      );
    });
    return path;
  }

  /** A directory with one link for each name, to go to the front of PATH. Throws UserError. */
  links(targets: Readonly<Record<string, string>>): string {
    const directory = join(this.#directory, 'bin');
    this.#touch(directory, () => {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      for (const [name, target] of Object.entries(targets)) {
        const path = join(directory, name);
        if (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true) {
          if (readlinkSync(path) === target) continue;
        }
        this.#replace(path, (temporary) => symlinkSync(target, temporary));
      }
    });
    return directory;
  }

  #replace(path: string, make: (temporary: string) => void): void {
    const temporary = `${path}.${process.pid}.tmp`;
    try {
      make(temporary);
      renameSync(temporary, path);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
  }

  #touch(path: string, act: () => void): void {
    try {
      act();
    } catch (error) {
      throw new UserError(
        `cannot write ${quote(path)} (${codeOf(error) ?? messageOf(error)}): ${remedy(error) ?? `correct owner and mode of ${quote(this.#directory)}, or remove it`}`,
      );
    }
  }
}

export function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 24);
}

/** Throws UserError, with `what` it is that cannot be read. */
export function readText(path: string, what: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new UserError(
      `cannot read ${what} ${quote(path)} (${codeOf(error) ?? messageOf(error)}): correct its owner and mode, or name another file`,
    );
  }
}
