/** Serves the daemon's clients on Unix sockets: the command line, and nerdctl. */
import { chmodSync } from 'node:fs';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import type { Addon } from '../../addon/addon.js';
import { ControlClient } from '../../api/client.js';
import { UserError } from '../../base/errors.js';
import { userId } from '../../base/paths.js';
import { quote } from '../../base/text.js';
import { peerOf } from '../../system/peer.js';
import { cannotServe, isServed, removeStale } from '../../system/unix-socket.js';
import { KeeperBusyError } from '../listeners/find-keeper.js';

type PeerSource = Pick<Addon, 'peerCredentials'>;

/** Rejects with UserError when a daemon answers on control.sock. */
export async function refuseSecondDaemon(controlSocket: string): Promise<void> {
  if (!(await isServed(controlSocket))) return;
  // "already running (pid N)", as far as the other daemon tells its pid.
  const who = await new ControlClient(controlSocket).status().then(
    ({ pid }) => ` (pid ${pid})`,
    () => '',
  );
  throw new KeeperBusyError(`the daemon is already running${who}: use it, or stop it first`);
}

/**
 * Listens on `path`, with mode 0600, and for this user only: the directory keeps other users out, and this keeps out who
 * passes it all the same. The caller must know that no other server is alive there. Rejects with UserError.
 */
export async function serveOwnUser(
  server: FastifyInstance,
  path: string,
  addon: PeerSource,
): Promise<void> {
  server.server.on('connection', (socket: Socket) => {
    if (peerOf(addon, socket)?.uid !== userId()) socket.destroy();
  });
  removeStale(path);
  try {
    await server.listen({ path });
    chmodSync(path, 0o600);
  } catch (error) {
    throw cannotServe(path, error);
  }
}

/** Serves nerdctl in the place of bypass4netnsd. Rejects with UserError; the server is the caller's to close all the same. */
export async function serveNerdctl(
  server: FastifyInstance,
  path: string,
  addon: PeerSource,
): Promise<void> {
  if (await isServed(path)) {
    throw new UserError(
      `another program, bypass4netnsd probably, serves ${quote(path)}: stop it, or leave out --nerdctl-api`,
    );
  }
  await serveOwnUser(server, path, addon);
}
