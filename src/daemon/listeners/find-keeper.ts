/**
 * Finding or starting the keeper, the small native program that outlives the daemon.
 *
 * A keeper that runs already (from before a restart) is used as it is. Otherwise one is started in a
 * session of its own and asked until it listens, or, where systemd runs it as a unit, waited for. `EBUSY`
 * means that another daemon holds it; one that is about to end lets go of it within a moment, so that is
 * asked again, too.
 */
import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Addon, KeeperHandlers, KeeperLink } from '../../addon/addon.js';
import { codeOf, messageOf, UserError } from '../../base/errors.js';
import { quote } from '../../base/text.js';

const PATIENCE_MS = 2_000;
/** systemd starts the keeper beside us, or again a moment after its end. */
const EXTERNAL_PATIENCE_MS = 10_000;
const RETRY_MS = 20;
/** The first descriptor behind the standard streams, as a started program finds it. */
const INHERITED = 3;

export class KeeperBusyError extends UserError {
  override readonly name = 'KeeperBusyError';
}

export interface KeeperOptions {
  readonly addon: Pick<Addon, 'connectKeeper'>;
  readonly socket: string;
  /** Undefined: never started by us, only waited for. */
  readonly program: string | undefined;
  readonly runtimeDirectory: string;
  /** The listening socket of a keeper before this one, for the one that is started. */
  readonly listening?: number | undefined;
  readonly handlers: KeeperHandlers;
}

/** Rejects with KeeperBusyError, or with UserError when no keeper can be had. */
export async function connectKeeper(options: KeeperOptions): Promise<KeeperLink> {
  const { program } = options;
  const patience = program === undefined ? EXTERNAL_PATIENCE_MS : PATIENCE_MS;
  const deadline = performance.now() + patience;
  let started: { failure(): string | undefined } | undefined;
  for (;;) {
    try {
      return options.addon.connectKeeper(options.socket, options.handlers);
    } catch (error) {
      const code = codeOf(error);
      if (code === 'ENOENT' || code === 'ECONNREFUSED') {
        if (program !== undefined) started ??= startKeeper(program, options);
        const failure = started?.failure();
        if (failure !== undefined) throw new UserError(failure);
      } else if (code === 'EPROTO') {
        throw new UserError(
          `${quote(options.socket)} is served by something that is no keeper of sockswitch: end that process ("fuser ${options.socket}" tells which)`,
        );
      } else if (code !== 'EBUSY') {
        throw new UserError(
          `cannot talk to the keeper at ${quote(options.socket)}: ${messageOf(error)}`,
        );
      }
      if (performance.now() < deadline) {
        await sleep(RETRY_MS);
        continue;
      }
      if (code === 'EBUSY')
        throw new KeeperBusyError('another sockswitch daemon is already running');
      throw new UserError(
        program === undefined
          ? `no keeper listens on ${quote(options.socket)} after ${patience / 1000} s: see "systemctl --user status sockswitch-keeper", or start the daemon without --external-keeper`
          : `${quote(program)} does not listen on ${quote(options.socket)} after ${patience / 1000} s: run it by hand with "--runtime-dir ${options.runtimeDirectory}" to see why`,
      );
    }
  }
}

function startKeeper(
  program: string,
  { runtimeDirectory, listening }: Pick<KeeperOptions, 'runtimeDirectory' | 'listening'>,
): { failure(): string | undefined } {
  let failure: string | undefined;
  const inherited = listening === undefined ? [] : [listening];
  const child = spawn(
    program,
    [
      ...['--runtime-dir', runtimeDirectory],
      ...inherited.flatMap(() => ['--listening-socket', String(INHERITED)]),
    ],
    { detached: true, cwd: '/', stdio: ['ignore', 'ignore', 'inherit', ...inherited] },
  );
  child.once('error', (error) => {
    failure = `cannot start ${quote(program)} (${codeOf(error) ?? error.message}): run "npm run build", or reinstall sockswitch`;
  });
  child.once('exit', (code, signal) => {
    failure = `${quote(program)} ended at once (${signal ?? `status ${code}`}): its message is above`;
  });
  child.unref();
  return { failure: () => failure };
}
