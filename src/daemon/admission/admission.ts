/**
 * Decides about a container that is about to start: its spec comes from the hook, and goes back as it shall run.
 *
 * The container starts accelerated, or as it is with the reason noted, or, where it must not go without what it asks
 * for, not at all. Its published ports are reserved before the answer goes out.
 */
import { statSync } from 'node:fs';
import type { Engine } from '../../addon/addon.js';
import { messageOf, UserError } from '../../base/errors.js';
import type { ContainerRequest } from '../../oci/annotations.js';
import type { RewriteOptions } from '../../oci/seccomp.js';
import { processSpec, type SpecResult } from '../../oci/spec.js';
import { namespaceAt } from '../../system/namespace.js';
import type { Peer } from '../../system/peer.js';
import type { Journal } from '../observe/journal.js';
import type { Logger } from '../observe/log.js';
import type { Publications } from '../publish/publications.js';
import { descriptorShortage } from './descriptor-shortage.js';
import type { HookReply } from './hook-server.js';

export interface AdmissionOptions {
  readonly engine: Pick<Engine, 'isConnected'>;
  readonly publications: Pick<Publications, 'reserve'>;
  readonly journal: Journal;
  readonly log: Logger;
  rewriteOptions(): RewriteOptions;
  /** Why no socket can be guarded, and so nothing is accelerated; undefined where that is no obstacle. */
  unguarded(): string | undefined;
}

export class Admission {
  readonly #options: AdmissionOptions;

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /** `peer`: the hook, which waits for the answer. */
  answer(spec: string, peer: Peer): HookReply {
    const { log, journal, unguarded } = this.#options;
    // The hook is in Podman's mount namespace, where the paths of the spec lead to what they mean.
    const root = `/proc/${peer.pid}/root`;
    const { container, result } = processSpec(spec, {
      ...this.#options.rewriteOptions(),
      obstacle: (request) => obstacleTo(request, unguarded()) ?? descriptorShortage(),
      netnsAt: (path) => namespaceAt(`${root}${path}`),
      isConnected: (path) => this.#isConnected(`${root}${path}`),
      isFileAt: (path) => isFile(`${root}${path}`),
    });
    const known = container === undefined ? {} : { container };
    const refusal =
      result instanceof UserError ? result : this.#reserveBeforeStart(container, result);
    if (refusal !== undefined || result instanceof UserError) {
      const message = refusal?.message ?? '';
      log.warn({ ...known, reason: message }, 'container start refused');
      journal.add({ kind: 'rejected', ...known, message });
      return { text: spec, rejection: message };
    }
    if (result.note !== undefined) {
      log.info({ ...known, reason: result.note }, 'container starts without acceleration');
      journal.add({ kind: 'unaccelerated', ...known, message: result.note });
    }
    return { text: result.text };
  }

  /** Returns why the container must not start, undefined when its ports are its own. */
  #reserveBeforeStart(id: string | undefined, result: SpecResult): UserError | undefined {
    if (id === undefined) {
      return result.publish.length === 0
        ? undefined
        : new UserError("sockswitch/publish: the container's id cannot be told from its spec");
    }
    try {
      this.#options.publications.reserve(id, result.publish, result.netns);
      return undefined;
    } catch (error) {
      if (error instanceof UserError) return error;
      throw error;
    }
  }

  /** Also where it cannot be told: the data plane finds out later. */
  #isConnected(netns: string): boolean {
    try {
      return this.#options.engine.isConnected(netns);
    } catch (error) {
      this.#options.log.warn(
        { netns },
        `cannot look into a network namespace: ${messageOf(error)}`,
      );
      return true;
    }
  }
}

/** A service of a container that may go without acceleration is relayed. */
function obstacleTo(
  { publish, required }: ContainerRequest,
  unguarded: string | undefined,
): string | undefined {
  return publish.length === 0 || required ? unguarded : undefined;
}

/** False where it cannot be told. */
function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
