/** Serving on a Unix socket whose file may be left over from a daemon that was killed. */
import { chmodSync, rmSync } from 'node:fs';
import { connect, type Server } from 'node:net';

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

/** Removes what is left of a dead server. The caller must know that none is alive. */
export function removeStale(path: string): void {
  rmSync(path, { force: true });
}

/** Listens on `path` with mode 0600. Rejects with Node's error. */
export function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.removeListener('error', reject);
      chmodSync(path, 0o600);
      resolve();
    });
  });
}
