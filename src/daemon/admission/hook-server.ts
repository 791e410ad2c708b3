/**
 * Serves hook.sock: the native precreate hook brings an OCI spec and takes the rewritten one away.
 *
 * The protocol, one exchange a connection:
 *
 *   hook    the spec's JSON, then shuts down its write side
 *   daemon  `OK\n` and the spec to run, or `REJECT <one-line message>\n` and the spec as it came;
 *           then closes
 *
 * Bounds: a spec of 16 MiB, 5 s from connect to answer, 64 connections at once (the hook of one beyond
 * that sees the connection closed, which is to it as if no daemon ran). Only our own user is served.
 * A spec that cannot be taken in is rejected without an echo: the hook has it still.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { messageOf } from '../../base/errors.js';
import { escapeControl } from '../../base/text.js';
import type { Peer } from '../../system/peer.js';
import { listen, removeStale } from '../../system/unix-socket.js';

export const HOOK_LIMITS = {
  specBytes: 16 * 1024 * 1024,
  milliseconds: 5_000,
  connections: 64,
} as const;

export interface HookReply {
  /** The spec to run. */
  readonly text: string;
  /** Why the container must not start; undefined when it may. */
  readonly rejection?: string;
}

export interface HookServerOptions {
  readonly path: string;
  /** Who the peer is, undefined when it is gone. */
  peer(socket: Socket): Peer | undefined;
  readonly ownUser: number;
  /** Decides about one spec; what it throws is a defect and rejects the spec. */
  handle(spec: string, peer: Peer): HookReply;
  /** A connection that got no decision: bad peer, too large, too slow. */
  onProblem(problem: string): void;
  readonly limits?: { specBytes: number; milliseconds: number; connections: number };
}

export interface HookServer {
  close(): Promise<void>;
}

/** Rejects with UserError when the socket cannot be served. */
export async function serveHook(options: HookServerOptions): Promise<HookServer> {
  const open = new Set<Socket>();
  // Half-open: the hook's end of writing is not the end of the connection.
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    serveOne(socket, options);
  });
  server.maxConnections = (options.limits ?? HOOK_LIMITS).connections;
  server.on('drop', () => options.onProblem('too many hook connections at once; one was closed'));
  removeStale(options.path);
  await listen(server, options.path);
  return { close: () => closeServer(server, open) };
}

function serveOne(socket: Socket, options: HookServerOptions): void {
  const limits = options.limits ?? HOOK_LIMITS;
  const chunks: Buffer[] = [];
  let bytes = 0;
  let done = false;

  const finish = (answer: string | undefined): void => {
    if (done) return;
    done = true;
    clearTimeout(timer);
    if (answer === undefined) socket.destroy();
    // destroySoon: what is left unread must not keep the connection open.
    else socket.end(answer, () => socket.destroySoon());
  };
  const refuse = (problem: string): void => {
    if (done) return;
    options.onProblem(problem);
    finish(`REJECT ${problem}\n`);
  };
  const timer = setTimeout(
    () => refuse(`the hook did not send a whole spec within ${limits.milliseconds / 1000} s`),
    limits.milliseconds,
  );

  socket.on('error', () => finish(undefined)); // the hook went away: nobody to answer
  socket.on('close', () => finish(undefined));
  const peer = options.peer(socket);
  if (peer === undefined || peer.uid !== options.ownUser) {
    if (peer !== undefined) options.onProblem(`refused a hook connection of user ${peer.uid}`);
    finish(undefined);
    return;
  }
  socket.on('data', (chunk) => {
    if (done) return;
    bytes += chunk.length;
    if (bytes > limits.specBytes) refuse(`the spec is larger than ${limits.specBytes} bytes`);
    else chunks.push(chunk);
  });
  socket.on('end', () => {
    if (!done) finish(answer(Buffer.concat(chunks), peer, options));
  });
}

function answer(bytes: Buffer, peer: Peer, options: HookServerOptions): string {
  let spec: string;
  try {
    spec = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    options.onProblem('the spec is not UTF-8');
    return 'REJECT the spec is not UTF-8\n';
  }
  try {
    const reply = options.handle(spec, peer);
    return reply.rejection === undefined
      ? `OK\n${reply.text}`
      : `REJECT ${escapeControl(reply.rejection)}\n${reply.text}`;
  } catch (error) {
    const problem = `internal error: ${escapeControl(messageOf(error))}`;
    options.onProblem(problem);
    return `REJECT ${problem}\n${spec}`;
  }
}

function closeServer(server: Server, open: ReadonlySet<Socket>): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    for (const socket of open) socket.destroy();
  });
}
