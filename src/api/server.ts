/** The daemon's side of control.sock: routes, validation and errors. What they mean is `ControlApi`'s. */
import fastify, { type FastifyError, type FastifyInstance } from 'fastify';
import { z } from 'zod';
import {
  ApiError,
  type ApiErrorBody,
  type ApiErrorCode,
  type ContainerList,
  type ExplainRequest,
  type Explanation,
  explainRequestSchema,
  type Status,
} from './protocol.js';

/** May throw ApiError. */
export interface ControlApi {
  status(): Status;
  containers(): ContainerList;
  explain(request: ExplainRequest): Explanation;
  stopKeeper(): void;
}

const MAX_BODY_BYTES = 64 * 1024;
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
  const server = fastify({ bodyLimit: MAX_BODY_BYTES, forceCloseConnections: true });
  server.get('/v1/status', () => api.status());
  server.get('/v1/containers', () => api.containers());
  server.post('/v1/explain', (request) => api.explain(parse(explainRequestSchema, request.body)));
  server.post('/v1/keeper/stop', (_request, reply) => {
    api.stopKeeper();
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

function parse<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new ApiError('bad-request', z.prettifyError(result.error).replaceAll('\n', ' '));
}

function body(code: ApiErrorCode, message: string): ApiErrorBody {
  return { error: { code, message } };
}
