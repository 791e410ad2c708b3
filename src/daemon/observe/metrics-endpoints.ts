/**
 * Where metrics are served: always on metrics.sock in the runtime directory, and on a port of 127.0.0.1 where
 * the configuration names one. Containers reach neither: they cannot enter the directory, and the host's
 * loopback is not theirs.
 */
import type { Server } from 'node:http';
import { codeOf, messageOf, UserError } from '../../base/errors.js';
import { listen, removeStale } from '../../system/unix-socket.js';
import { type MetricsSource, metricsServer } from './metrics.js';

export class MetricsEndpoints {
  readonly #source: MetricsSource;
  readonly #onDefect: (error: unknown) => void;
  #unix: Server | undefined;
  #loopback: { readonly server: Server; readonly port: number } | undefined;

  constructor(source: MetricsSource, onDefect: (error: unknown) => void) {
    this.#source = source;
    this.#onDefect = onDefect;
  }

  /** Rejects with UserError. */
  async serveSocket(path: string): Promise<void> {
    const server = metricsServer(this.#source, this.#onDefect);
    removeStale(path);
    await listen(server, path);
    this.#unix = server;
  }

  /** Serves this port instead of the one before, or none. Rejects with UserError and changes nothing. */
  async servePort(port: number | undefined): Promise<void> {
    if (port === this.#loopback?.port) return;
    const next = port === undefined ? undefined : { server: await this.#listenOn(port), port };
    close(this.#loopback?.server);
    this.#loopback = next;
  }

  close(): void {
    close(this.#unix);
    close(this.#loopback?.server);
  }

  #listenOn(port: number): Promise<Server> {
    const server = metricsServer(this.#source, this.#onDefect);
    return new Promise((resolve, reject) => {
      server.once('error', (error) =>
        reject(
          new UserError(
            `metrics.port is ${port}, which cannot be listened on (${codeOf(error) ?? messageOf(error)}): choose a free port above 1023`,
          ),
        ),
      );
      server.listen(port, '127.0.0.1', () => resolve(server));
    });
  }
}

function close(server: Server | undefined): void {
  server?.close();
  server?.closeAllConnections();
}
