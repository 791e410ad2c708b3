/**
 * Ctrl-C and SIGTERM: everything that waits is aborted through one signal, and the clean-up that follows runs to its end.
 * Children are started in process groups of their own (execute.ts), so that a terminal's Ctrl-C reaches only this process.
 */

const controller = new AbortController();

/** Aborted when the run is to end early. */
export const interrupted = controller.signal;

export class Interrupted extends Error {
  override readonly name = 'Interrupted';
  constructor() {
    super('interrupted');
  }
}

/** Throws Interrupted once the run is to end early. */
export function checkInterrupted(): void {
  if (interrupted.aborted) throw new Interrupted();
}

/** `announce` is called at the first signal; later ones change nothing, as cleaning up takes only seconds. */
export function catchInterrupts(announce: () => void): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (interrupted.aborted) return;
      process.exitCode = 130;
      announce();
      controller.abort();
    });
  }
}
