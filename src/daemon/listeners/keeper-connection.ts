/**
 * The daemon's connection to the keeper, as long as the daemon lives.
 *
 * Whoever is connected to the keeper is the daemon. When the keeper dies, or the link to it breaks, the daemon
 * connects anew, to another keeper if need be. That one gets the old one's listening socket (a duplicate is kept
 * here, so runtimes can connect all the while) and all listeners. A keeper of another version is replaced in the
 * same way, once. A daemon without a keeper never gives up: it has the listeners still, and its end would be the end
 * of them.
 */
import { closeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Addon,
  KEEPER_SHUTDOWN,
  type KeeperHandlers,
  type KeeperLink,
} from '../../addon/addon.js';
import { messageOf } from '../../base/errors.js';
import type { RuntimePaths } from '../../base/paths.js';
import type { Journal } from '../observe/journal.js';
import type { Logger } from '../observe/log.js';
import { connectKeeper } from './find-keeper.js';

/** Between two attempts to get a keeper while one is missing. */
const RECONNECT_PAUSE_MS = 1_000;
/** Between two looks for free descriptors while there are none. */
const SHORTAGE_PAUSE_MS = 100;

export interface KeeperConnectionOptions {
  readonly addon: Pick<Addon, 'connectKeeper'>;
  readonly runtime: Pick<RuntimePaths, 'directory' | 'keeperSocket'>;
  /** Undefined: the keeper is a unit of its own, which this daemon waits for and does not start. */
  readonly program: string | undefined;
  readonly journal: Journal;
  readonly log: Logger;
  /** A listener came; perhaps one that is known already. */
  readonly onListener: KeeperHandlers['onListener'];
  /** The first keeper kept this for an earlier daemon. May throw; the descriptor is the handler's all the same. */
  readonly onKept: KeeperHandlers['onKept'];
  /** The keeper has handed over all that it held. */
  onHandedOver(keeper: KeeperLink): void;
  onLost(): void;
  /** Another keeper is connected, or the same one again. */
  onBack(): void;
}

export class KeeperConnection {
  readonly #options: KeeperConnectionOptions;
  #link: KeeperLink | undefined;
  /** The socket that runtimes connect to, whichever keeper accepts there. */
  #listening: number | undefined;
  #replaced = false;
  /** What a keeper hands over after its first readiness is ours already. */
  #known = false;
  #ending = false;

  constructor(options: KeeperConnectionOptions) {
    this.#options = options;
  }

  /** Undefined while there is none. */
  get link(): KeeperLink | undefined {
    return this.#link;
  }

  /** Rejects with KeeperBusyError where another daemon is connected, or with UserError. */
  async connect(): Promise<void> {
    const { addon, runtime, program, log, journal } = this.#options;
    this.#link = await connectKeeper({
      addon,
      socket: runtime.keeperSocket,
      program,
      runtimeDirectory: runtime.directory,
      listening: this.#listening,
      handlers: {
        onListener: this.#options.onListener,
        onKept: (kept) => this.#onKept(kept),
        onRefused: (reason) => {
          log.warn({ reason }, 'the keeper refused something on the listener socket');
          journal.add({ kind: 'listener', message: `refused: ${reason}` });
        },
        onReady: () => this.#onReady(),
        onShortage: () => this.#onShortage(),
        onClose: (reason) => void this.#onClose(reason),
      },
    });
    this.#keepListening(this.#link.listening);
  }

  /** Ends the keeper once it holds nothing. */
  endWhenIdle(): void {
    this.#link?.shutdown(KEEPER_SHUTDOWN.whenIdle);
  }

  /** From now on a keeper that is lost is not connected to again. */
  stopReconnecting(): void {
    this.#ending = true;
  }

  /** Leaves the keeper, and what it holds, to the next daemon. */
  close(): void {
    this.stopReconnecting();
    this.#link?.close();
    this.#keepListening(undefined);
  }

  #keepListening(socket: number | undefined): void {
    if (this.#listening !== undefined) closeSync(this.#listening);
    this.#listening = socket;
  }

  #onKept(kept: Parameters<KeeperHandlers['onKept']>[0]): void {
    if (this.#known) {
      closeSync(kept.fd); // its link broke: what it keeps is ours still
      return;
    }
    try {
      this.#options.onKept(kept);
    } catch (error) {
      this.#options.log.error(`a published port is lost: ${messageOf(error)}`);
    }
  }

  #onReady(): void {
    if (this.#link === undefined) return;
    this.#known = true;
    this.#options.onHandedOver(this.#link);
    if (this.#link.sameVersion) return;
    const { log } = this.#options;
    const { version: keeperVersion } = this.#link;
    if (this.#replaced) {
      log.error(
        { keeperVersion },
        'the keeper is of another version again, and stays: run "sockswitch install", which corrects its unit',
      );
      return;
    }
    this.#replaced = true;
    log.info({ keeperVersion }, 'the keeper is of another version; replacing it');
    this.#link.shutdown(KEEPER_SHUTDOWN.replaced);
  }

  /** Listeners wait in the keeper, and their calls with them, until others have ended. */
  #onShortage(): void {
    const problem =
      'no file descriptors are left (RLIMIT_NOFILE): what starts now in accelerated containers waits at its first connection until something else has ended; raise the limit of the daemon';
    this.#options.log.error(problem);
    this.#options.journal.add({ kind: 'listener', message: problem });
    const resume = (): void => {
      if (this.#link?.resume() === false) setTimeout(resume, SHORTAGE_PAUSE_MS).unref();
    };
    setTimeout(resume, SHORTAGE_PAUSE_MS).unref();
  }

  async #onClose(reason: string): Promise<void> {
    this.#link = undefined;
    this.#options.onLost();
    const { log, journal } = this.#options;
    if (!this.#ending) {
      log.warn({ reason }, 'the keeper is gone; connecting again');
      journal.event({ type: 'keeper-lost', message: reason });
    }
    while (!this.#ending) {
      try {
        await this.connect();
        log.info('the keeper is back');
        this.#options.onBack();
        journal.event({ type: 'keeper-back', message: 'connected to a keeper again' });
        return;
      } catch (error) {
        log.error(`no keeper: ${messageOf(error)}`);
      }
      await sleep(RECONNECT_PAUSE_MS, undefined, { ref: false });
    }
  }
}
