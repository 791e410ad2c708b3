/**
 * The HTTP server that the daemon's APIs share. It takes 64 connections at once (one beyond is closed) and requests that
 * arrive whole within 5 s (a later one is answered 408). Answers may take their time: /v1/events/follow does not end.
 */
import { createServer, type RequestListener, type Server } from 'node:http';

const REQUEST_MS = 5_000;
const MAX_CONNECTIONS = 64;

/** The caller listens. */
export function boundedServer(handler: RequestListener): Server {
  const server = createServer(
    {
      headersTimeout: REQUEST_MS,
      requestTimeout: REQUEST_MS,
      // Node looks for late ones at this interval, so a request has 10 s at most.
      connectionsCheckingInterval: REQUEST_MS,
    },
    handler,
  );
  server.maxConnections = MAX_CONNECTIONS;
  return server;
}
