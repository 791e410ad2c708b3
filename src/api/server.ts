/** The daemon's side of control.sock: routes, validation and errors. What they mean is `ControlApi`'s. */
import type { ServerResponse } from 'node:http';
import fastify, { type FastifyError, type FastifyInstance } from 'fastify';
import { z } from 'zod';
import { boundedServer } from './http-server.js';
import {
  ApiError,
  type ApiErrorBody,
  type ApiErrorCode,
  type ContainerList,
  type EventList,
  type ExplainRequest,
  type Explanation,
  explainRequestSchema,
  type JournalEvent,
  type SocketList,
  type Status,
  type TunnelList,
} from './protocol.js';

/** May throw ApiError. */
export interface ControlApi {
  status(): Status;
  containers(): ContainerList;
  explain(request: ExplainRequest): Explanation;
  /** Of one container, or of all. */
  sockets(container: string | undefined): SocketList;
  /** Of one container, or of all. */
  tunnels(container: string | undefined): TunnelList;
  events(): EventList;
  /** Calls `follower` with each event until the function that it returns is called. */
  follow(follower: (event: JournalEvent) => void): () => void;
  stopKeeper(): void;
  stop(): void;
}

const MAX_BODY_BYTES = 64 * 1024;
const MAX_UNREAD_BYTES = 1024 * 1024;
const HTTP_STATUS: Readonly<Record<ApiErrorCode, number>> = {
  'bad-request': 400,
  'not-found': 404,
  ambiguous: 409,
  gone: 409,
  internal: 500,
};

/** Builds the server; the caller listens. `onDefect` hears of errors that are ours. */
export function controlServer(
  api: ControlApi,
  onDefect: (error: unknown) => void,
): FastifyInstance {
  const server = fastify({
    bodyLimit: MAX_BODY_BYTES,
    forceCloseConnections: true,
    serverFactory: boundedServer,
  });
  server.get('/v1/status', () => api.status());
  server.get('/v1/containers', () => api.containers());
  server.get('/v1/sockets', (request) => api.sockets(parse(socketQuery, request.query).container));
  server.get('/v1/tunnels', (request) => api.tunnels(parse(socketQuery, request.query).container));
  server.get('/v1/events', () => api.events());
  server.get('/v1/events/follow', (_request, reply) => {
    reply.hijack();
    follow(reply.raw, api);
  });
  server.post('/v1/explain', (request) => api.explain(parse(explainRequestSchema, request.body)));
  server.post('/v1/keeper/stop', (_request, reply) => {
    api.stopKeeper();
    return reply.code(204).send();
  });
  server.post('/v1/stop', (_request, reply) => {
    // Once the answer is out: stopping closes this connection.
    reply.raw.once('close', () => api.stop());
    return reply.code(204).send();
  });
  server.setNotFoundHandler((request, reply) =>
    reply.code(404).send(body('not-found', `there is no ${request.method} ${request.url}`)),
  );
  server.setErrorHandler((error: FastifyError, _request, reply) => {
    if (error instanceof ApiError) {
      return reply.code(HTTP_STATUS[error.code]).send(body(error.code, error.message));
    }
    if (error.statusCode !== undefined && error.statusCode < 500) {
      return reply.code(error.statusCode).send(body('bad-request', error.message));
    }
    onDefect(error);
    return reply.code(500).send(body('internal', error.message));
  });
  return server;
}

const socketQuery = z.strictObject({ container: z.string().min(1).max(1024).optional() });

/** A follower that does not read is let go rather than buffered for. */
function follow(response: ServerResponse, api: ControlApi): void {
  response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  response.flushHeaders();
  const stop = api.follow((event) => {
    if (response.writableLength > MAX_UNREAD_BYTES) response.destroy();
    else response.write(`${JSON.stringify(event)}\n`);
  });
  response.once('close', stop);
}

function parse<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new ApiError('bad-request', z.prettifyError(result.error).replaceAll('\n', ' '));
}

function body(code: ApiErrorCode, message: string): ApiErrorBody {
  return { error: { code, message } };
}
