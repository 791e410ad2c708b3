/**
 * The published ports of containers: reserved when a container is created, released when it is gone.
 *
 * Order of events for a container:
 *
 *   reserve   the hook asks before the runtime creates it; a port that cannot be had fails the start
 *   begin     its first listener came: from now on it is gone when its last listener is (`end`)
 *   end       released
 *
 * Between `reserve` and `begin` a runtime may fail, or wait for days (`podman init`). So a container that
 * has not begun after a while is looked for, again and again, and released when it is not there.
 *
 * Each reservation's descriptor is given to the keeper, with a text that says whose it is: the next
 * daemon takes it over (`adopt`) before it hears of any listener. Containers that share a network
 * namespace (a pod whose annotations were copied to each of its containers) share a reservation.
 */
import { closeSync } from 'node:fs';
import { isIP } from 'node:net';
import { z } from 'zod';
import type { Addon, Engine, KeeperLink, Mapping } from '../../addon/addon.js';
import { messageOf, UserError } from '../../base/errors.js';
import { shorten } from '../../base/text.js';
import type { Life } from '../../podman/inspect.js';
import { mappingText, overlap } from '../../policy/publish.js';
import { hostPortText, whyNotReserved } from './port-problem.js';

export interface PublicationsOptions {
  readonly engine: Pick<Engine, 'reserve' | 'adopt' | 'release' | 'lostDatagrams'>;
  readonly portHolders: Addon['portHolders'];
  keeper(): Pick<KeeperLink, 'keep' | 'drop'> | undefined;
  /** Whether a container that has not begun is there (any more). */
  look(container: string): Promise<Life>;
  /** Identity of the network namespace at a path, undefined where it cannot be told. */
  networkOf(path: string): string | undefined;
  readonly lookEveryMs?: number;
}

interface Reservation {
  readonly mapping: Mapping;
  readonly number: number;
  /** What the keeper knows it by. */
  readonly key: number;
  readonly fd: number;
  /** Known when its container begins, if not before. */
  network: string | undefined;
  readonly owners: Set<string>;
}

const LOOK_EVERY_MS = 15_000;

const keptSchema = z.object({
  owner: z.string(),
  network: z.string().optional(),
  mapping: z.object({
    protocol: z.enum(['tcp', 'udp']),
    hostAddress: z
      .string()
      .refine((text) => isIP(text) !== 0)
      .optional(),
    hostPort: z.int().min(1).max(65535),
    containerPort: z.int().min(1).max(65535),
  }),
});

export class Publications {
  readonly #options: PublicationsOptions;
  readonly #reservations = new Set<Reservation>();
  /** Containers that have reserved and not begun, with the timer that looks for them. */
  readonly #waiting = new Map<string, NodeJS.Timeout>();

  constructor(options: PublicationsOptions) {
    this.#options = options;
  }

  /** Reserves all of them, or none. `network`: identity of its network namespace, where it is known. Throws UserError. */
  reserve(container: string, mappings: readonly Mapping[], network?: string): void {
    const before = this.#of(container);
    const made: Reservation[] = [];
    const joined: Reservation[] = [];
    try {
      for (const mapping of mappings) {
        const found = this.#find(container, mapping, network);
        if (found === undefined) made.push(this.#make(container, mapping, network));
        else if (!found.owners.has(container)) joined.push(found);
      }
    } catch (error) {
      for (const reservation of made) this.#drop(reservation);
      throw error;
    }
    for (const reservation of joined) reservation.owners.add(container);
    // An earlier life of the same container may have published others.
    const wanted = new Set(mappings.map(mappingText));
    for (const reservation of before) {
      if (!wanted.has(mappingText(reservation.mapping))) this.#leave(reservation, container);
    }
    if (mappings.length > 0) this.#await(container);
  }

  /** A descriptor that the keeper kept for an earlier daemon. Throws UserError if it makes no sense. */
  adopt(kept: { readonly id: number; readonly fd: number; readonly text: string }): void {
    const parsed = keptSchema.safeParse(parseJson(kept.text));
    if (!parsed.success) {
      this.#options.keeper()?.drop(kept.id);
      closeSync(kept.fd);
      throw new UserError(`a kept port has the description ${shorten(kept.text)}: dropped`);
    }
    const { owner, network } = parsed.data;
    const { hostAddress, ...ports } = parsed.data.mapping;
    const mapping = { ...ports, ...(hostAddress === undefined ? {} : { hostAddress }) };
    const reserved = this.#options.engine.adopt(mapping, kept.fd);
    const owners = new Set([owner]);
    this.#reservations.add({ mapping, ...reserved, key: kept.id, network, owners });
    this.#await(owner);
  }

  /**
   * A container's listener came. Reserves what is missing: a runtime that has no hook (`sockswitch
   * profile`), or a keeper that was lost. `pid`: of a process in it, or 0. Returns what could not be
   * reserved, in words.
   */
  begin(container: string, mappings: readonly Mapping[], pid: number): string[] {
    this.#stopWaiting(container);
    const network = pid === 0 ? undefined : this.#options.networkOf(`/proc/${pid}/ns/net`);
    const problems: string[] = [];
    for (const mapping of mappings) {
      try {
        const reservation =
          this.#find(container, mapping, network) ?? this.#make(container, mapping, network);
        reservation.network ??= network;
        reservation.owners.add(container);
      } catch (error) {
        problems.push(messageOf(error));
      }
    }
    return problems;
  }

  /** A container's last listener closed. If it is about to start again, that is not its end. */
  end(container: string): void {
    if (this.#waiting.has(container)) return;
    this.release(container);
  }

  /** The container is gone for good. */
  release(container: string): void {
    this.#stopWaiting(container);
    for (const reservation of this.#of(container)) this.#leave(reservation, container);
  }

  /** The data plane's numbers, for the container's policy. */
  numbersOf(container: string): number[] {
    return this.#of(container).map(({ number }) => number);
  }

  /** "8080:80/tcp", for `ps`. */
  textsOf(container: string): string[] {
    return this.#of(container).map(({ mapping }) => mappingText(mapping));
  }

  /** Datagrams that its published UDP ports have lost; undefined: it has none. */
  lostDatagramsOf(container: string): number | undefined {
    const udp = this.#of(container).filter(({ mapping }) => mapping.protocol === 'udp');
    if (udp.length === 0) return undefined;
    return udp.reduce((sum, { number }) => sum + this.#options.engine.lostDatagrams(number), 0);
  }

  /** A keeper that is new holds nothing. */
  keepAgain(): void {
    for (const reservation of this.#reservations) this.#keep(reservation);
  }

  close(): void {
    for (const container of [...this.#waiting.keys()]) this.#stopWaiting(container);
  }

  #of(container: string): Reservation[] {
    return [...this.#reservations].filter(({ owners }) => owners.has(container));
  }

  /** The reservation for this mapping that the container has, or may share. */
  #find(container: string, mapping: Mapping, network: string | undefined): Reservation | undefined {
    const text = mappingText(mapping);
    return [...this.#reservations].find(
      (other) =>
        mappingText(other.mapping) === text &&
        (other.owners.has(container) || (network !== undefined && other.network === network)),
    );
  }

  #make(container: string, mapping: Mapping, network: string | undefined): Reservation {
    this.#refuseTakenByUs(mapping);
    let made: { number: number; fd: number };
    try {
      made = this.#options.engine.reserve(mapping);
    } catch (error) {
      throw new UserError(whyNotReserved(mapping, error, this.#options.portHolders));
    }
    const reservation: Reservation = {
      mapping,
      ...made,
      key: Math.floor(Math.random() * Number.MAX_SAFE_INTEGER),
      network,
      owners: new Set([container]),
    };
    this.#reservations.add(reservation);
    this.#keep(reservation);
    return reservation;
  }

  #keep(reservation: Reservation): void {
    const { mapping, network, key, fd } = reservation;
    const [owner] = reservation.owners;
    this.#options.keeper()?.keep(key, fd, JSON.stringify({ owner, network, mapping }));
  }

  #leave(reservation: Reservation, container: string): void {
    const keptFor = [...reservation.owners][0];
    reservation.owners.delete(container);
    if (reservation.owners.size === 0) this.#drop(reservation);
    else if (keptFor === container) this.#keep(reservation); // in the name of another one
  }

  #drop(reservation: Reservation): void {
    this.#reservations.delete(reservation);
    this.#options.keeper()?.drop(reservation.key);
    this.#options.engine.release(reservation.number);
  }

  #await(container: string): void {
    this.#stopWaiting(container);
    const timer = setInterval(
      () => void this.#lookFor(container),
      this.#options.lookEveryMs ?? LOOK_EVERY_MS,
    ).unref();
    this.#waiting.set(container, timer);
  }

  async #lookFor(container: string): Promise<void> {
    const life = await this.#options.look(container).catch((): Life => 'unknown');
    if (life === 'gone' && this.#waiting.has(container)) this.release(container);
  }

  #stopWaiting(container: string): void {
    clearInterval(this.#waiting.get(container));
    this.#waiting.delete(container);
  }

  #refuseTakenByUs(mapping: Mapping): void {
    for (const other of this.#reservations) {
      if (other.mapping.protocol !== mapping.protocol) continue;
      if (other.mapping.hostPort !== mapping.hostPort) continue;
      if (!overlap(other.mapping.hostAddress, mapping.hostAddress)) continue;
      const [owner = ''] = other.owners;
      throw new UserError(
        `${hostPortText(mapping)} is published by container ${owner.slice(0, 12)} already: choose another host port, or remove that container`,
      );
    }
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
