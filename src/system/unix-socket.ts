/** Serving on a Unix socket whose file may be left over from a daemon that was killed. */
import { chmodSync, lstatSync, rmSync } from 'node:fs';
import { connect, type Server } from 'node:net';
import { codeOf, messageOf, remedy, UserError } from '../base/errors.js';
import { quote } from '../base/text.js';

/** Whether somebody answers on the socket. A missing or dead file is nobody. */
export function isServed(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/**
 * Removes what is left of a dead server. The caller must know that none is alive. Throws UserError where something
 * else has that name.
 */
export function removeStale(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new UserError(
      `${quote(path)} was not made by sockswitch (it is no socket): remove it, and start again`,
    );
  }
  rmSync(path, { force: true });
}

export function cannotServe(path: string, error: unknown): UserError {
  const help = remedy(error) ?? 'correct what is wrong there, and start the daemon again';
  return new UserError(
    `cannot serve ${quote(path)} (${codeOf(error) ?? messageOf(error)}): ${help}`,
  );
}

/** Listens on `path` with mode 0600. Rejects with UserError. */
export function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error): void => reject(cannotServe(path, error));
    server.once('error', failed);
    server.listen(path, () => {
      server.removeListener('error', failed);
      chmodSync(path, 0o600);
      resolve();
    });
  });
}
