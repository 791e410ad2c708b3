/** A driver is a way for a container to reach the network. */
import type { Place } from '../places/place.js';

export interface Driver {
  readonly name: string;
  /** One line for tables and help. */
  readonly title: string;
  /** What `podman run` gets. */
  readonly podmanArgs: readonly string[];
  /** False if the container uses the host's network namespace. */
  readonly ownNetwork: boolean;
  /** The fallback network of a driver that accelerates: the same container without acceleration. */
  readonly unaccelerated?: string;
  /** Whether sockswitch must (and otherwise must not) have switched connections. */
  readonly switches: boolean;
  /** The program without which this driver cannot run. */
  readonly program?: string;
  /** Runs only those workloads that name it as their reference. */
  readonly reference?: true;
  /** Runs only where `--drivers` names it. */
  readonly onRequest?: true;
  /** Needs root: its containers are those of root's Podman, or it changes the machine's settings. */
  readonly needsRoot?: 'podman' | 'settings';
  /** What `podman run` gets to publish TCP ports under their own numbers; `--publish`, where this is left out. */
  readonly publishArgs?: (ports: readonly number[]) => readonly string[];
  /** Called before each trial, with the ports that it publishes; what it returns is called after it. */
  readonly prepare?: (place: Place, published: readonly number[]) => Promise<Prepared>;
}

export function publishArgs(driver: Driver, ports: readonly number[]): readonly string[] {
  return driver.publishArgs?.(ports) ?? ports.map((port) => `--publish=${port}:${port}`);
}

export interface Prepared {
  /** More arguments for `podman run`. */
  readonly podmanArgs?: readonly string[];
  /** What was run besides Podman, for the record. */
  readonly note: string;
  readonly undo: () => Promise<void>;
}
