/** The client's side of control.sock. */
import { createInterface } from 'node:readline';
import { Client } from 'undici';
import type { z } from 'zod';
import { codeOf, UserError } from '../base/errors.js';
import { quote } from '../base/text.js';
import {
  ApiError,
  apiErrorSchema,
  type ContainerList,
  containerListSchema,
  type EventList,
  type ExplainQuery,
  type Explanation,
  eventListSchema,
  eventSchema,
  explanationSchema,
  type JournalEvent,
  type SocketList,
  type Status,
  socketListSchema,
  statusSchema,
  type TunnelList,
  tunnelListSchema,
} from './protocol.js';

const TIMEOUT_MS = 10_000;

/** No daemon answers on the socket. */
export class NoDaemonError extends UserError {
  override readonly name = 'NoDaemonError';

  constructor() {
    super(
      'no daemon is running: start it with "systemctl --user start sockswitch" or "sockswitch daemon"',
    );
  }
}

/** One request a call, no connection kept. All reject with NoDaemonError, ApiError or UserError. */
export class ControlClient {
  readonly #socket: string;

  constructor(socket: string) {
    this.#socket = socket;
  }

  status(): Promise<Status> {
    return this.#request('GET', '/v1/status', statusSchema);
  }

  containers(): Promise<ContainerList> {
    return this.#request('GET', '/v1/containers', containerListSchema);
  }

  explain(request: ExplainQuery): Promise<Explanation> {
    return this.#request('POST', '/v1/explain', explanationSchema, request);
  }

  async stopKeeper(): Promise<void> {
    await this.#send('POST', '/v1/keeper/stop', {});
  }

  /** Of one container (the beginning of its id), or of all. */
  sockets(container?: string): Promise<SocketList> {
    const query = container === undefined ? '' : `?container=${encodeURIComponent(container)}`;
    return this.#request('GET', `/v1/sockets${query}`, socketListSchema);
  }

  /** Of one container (the beginning of its id), or of all. */
  tunnels(container?: string): Promise<TunnelList> {
    const query = container === undefined ? '' : `?container=${encodeURIComponent(container)}`;
    return this.#request('GET', `/v1/tunnels${query}`, tunnelListSchema);
  }

  events(): Promise<EventList> {
    return this.#request('GET', '/v1/events', eventListSchema);
  }

  /** Events as they happen, until the daemon ends. `onStart` is called when none can be missed any more. */
  async *follow(onStart: () => void): AsyncGenerator<JournalEvent> {
    const client = new Client('http://localhost', {
      socketPath: this.#socket,
      headersTimeout: TIMEOUT_MS,
      bodyTimeout: 0,
    });
    try {
      const { body } = await client.request({ method: 'GET', path: '/v1/events/follow' });
      onStart();
      for await (const line of createInterface({ input: body })) {
        yield eventSchema.parse(JSON.parse(line));
      }
    } catch (error) {
      throw this.#translate(error);
    } finally {
      await client.destroy();
    }
  }

  async stop(): Promise<void> {
    await this.#send('POST', '/v1/stop', {});
  }

  async #request<T>(
    method: 'GET' | 'POST',
    path: string,
    schema: z.ZodType<T>,
    body?: object,
  ): Promise<T> {
    const result = schema.safeParse(await this.#send(method, path, body));
    if (result.success) return result.data;
    throw new UserError(
      `the daemon's answer to ${method} ${path} is not understood: restart it, it may be of another version ("systemctl --user restart sockswitch")`,
    );
  }

  async #send(method: 'GET' | 'POST', path: string, body?: object): Promise<unknown> {
    const client = new Client('http://localhost', {
      socketPath: this.#socket,
      headersTimeout: TIMEOUT_MS,
      bodyTimeout: TIMEOUT_MS,
    });
    try {
      const response = await client.request({
        method,
        path,
        ...(body === undefined
          ? {}
          : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
      });
      const text = await response.body.text();
      const json: unknown = text === '' ? undefined : JSON.parse(text);
      if (response.statusCode < 400) return json;
      const error = apiErrorSchema.safeParse(json);
      if (error.success) throw new ApiError(error.data.error.code, error.data.error.message);
      throw new UserError(`the daemon answered ${response.statusCode} to ${method} ${path}`);
    } catch (error) {
      throw this.#translate(error);
    } finally {
      await client.close();
    }
  }

  #translate(error: unknown): unknown {
    if (error instanceof ApiError || error instanceof UserError) return error;
    switch (codeOf(error)) {
      case 'ENOENT':
      case 'ECONNREFUSED':
        return new NoDaemonError();
      case 'EACCES':
        return new UserError(
          `no permission for ${quote(this.#socket)}: run the command as the user that runs the daemon`,
        );
      case 'UND_ERR_HEADERS_TIMEOUT':
      case 'UND_ERR_BODY_TIMEOUT':
      case 'UND_ERR_CONNECT_TIMEOUT':
        return new UserError(
          `the daemon does not answer within ${TIMEOUT_MS / 1000} s: see its log ("journalctl --user -u sockswitch"), restart it`,
        );
      default:
        return error;
    }
  }
}
