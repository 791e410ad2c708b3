/**
 * The daemon's counters for Prometheus (docs/operations.md lists the names).
 *
 * Nothing is counted here: each scrape reads what the data plane and the table of containers say at that
 * moment, so a container's series end with it. Labels are bounded by the containers that run, by the list
 * of outcomes, and by the peers of tunnels: 256 for each container, and only those that have proved themselves,
 * so that a container cannot make up names.
 */
import type { Server } from 'node:http';
import { Counter, Gauge, Registry } from 'prom-client';
import type { Latency } from '../../addon/addon.js';
import { boundedServer } from '../../api/http-server.js';
import type { ContainerRow, SocketRow, Status, TunnelRow } from '../../api/protocol.js';
import { endpoint, summaryOf } from '../../api/tunnel-summary.js';

export interface MetricsSource {
  status(): Status;
  containers(): readonly ContainerRow[];
  latencyOf(id: string): Latency | undefined;
  /** The switched sockets that are open now, of all containers. */
  sockets(): readonly SocketRow[];
  /** The tunnels of all containers that have some. */
  tunnels(): readonly TunnelRow[];
}

const CONTENT_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

/** The text of one scrape, in Prometheus' text format. */
export async function scrape(source: MetricsSource): Promise<string> {
  const registry = new Registry();
  const status = source.status();
  const gauge = (name: string, help: string, labelNames: readonly string[] = []) =>
    new Gauge({ name, help, labelNames: [...labelNames], registers: [registry] });
  const counter = (name: string, help: string, labelNames: readonly string[]) =>
    new Counter({ name, help, labelNames: [...labelNames], registers: [registry] });

  gauge('sockswitch_info', 'Always 1; the version is a label.', ['version', 'kernel']).set(
    { version: status.version, kernel: status.kernel.release },
    1,
  );
  gauge('sockswitch_start_time_seconds', 'When the daemon was started, in Unix time.').set(
    Date.parse(status.startedAt) / 1000,
  );
  gauge('sockswitch_keeper_connected', 'Whether the keeper is connected.').set(
    status.keeper.connected ? 1 : 0,
  );
  gauge('sockswitch_containers', 'Accelerated containers that are running.').set(status.containers);
  gauge('sockswitch_listeners', 'Process trees that are served.').set(status.listeners);
  gauge('process_resident_memory_bytes', 'Resident memory of the daemon.').set(
    process.memoryUsage.rss(),
  );

  const rows = source.containers();
  const kubernetes = gauge(
    'sockswitch_container_info',
    'Always 1; what Kubernetes calls a container that it has started.',
    ['container', 'namespace', 'pod', 'name'],
  );
  for (const { id, kubernetes: name } of rows) {
    if (name === undefined) continue;
    const { namespace, pod } = name;
    kubernetes.set({ container: id, namespace, pod, name: name.container ?? '' }, 1);
  }

  const sockets = gauge('sockswitch_open_sockets', 'Switched sockets that are open.', [
    'container',
  ]);
  const bytes = gauge(
    'sockswitch_open_sockets_bytes',
    'Payload that the switched sockets that are open have carried so far.',
    ['container', 'direction'],
  );
  for (const { id: container } of rows) {
    sockets.set({ container }, 0);
    for (const direction of ['sent', 'received']) bytes.set({ container, direction }, 0);
  }
  for (const { container, bytesSent, bytesReceived } of source.sockets()) {
    sockets.inc({ container });
    bytes.inc({ container, direction: 'sent' }, bytesSent);
    bytes.inc({ container, direction: 'received' }, bytesReceived);
  }
  const calls = counter(
    'sockswitch_calls_total',
    'Trapped calls by how they ended; kind is switched or fallback.',
    ['container', 'kind', 'outcome'],
  );
  for (const { id: container, reasons } of rows) {
    for (const { outcome, kind, count } of reasons) calls.inc({ container, kind, outcome }, count);
  }
  const lost = counter(
    'sockswitch_published_datagrams_lost_total',
    'Datagrams from and to clients that the published UDP ports have lost.',
    ['container'],
  );
  for (const { id: container, lostDatagrams } of rows) {
    if (lostDatagrams !== undefined) lost.inc({ container }, lostDatagrams);
  }

  const peers = gauge(
    'sockswitch_tunnel_peers',
    'Peers of tunnels; state is up (carried) or fallback.',
    ['container', 'state'],
  );
  const flow = ['container', 'peer', 'direction'];
  const payload = counter(
    'sockswitch_tunnel_bytes_total',
    'Payload of the tunnel packets that were carried.',
    flow,
  );
  const payloads = counter(
    'sockswitch_tunnel_payloads_total',
    'Payloads of tunnel packets that were carried; one may stand for many packets.',
    flow,
  );
  const dropped = counter(
    'sockswitch_tunnel_dropped_total',
    'Payloads of tunnel packets that were dropped.',
    flow,
  );
  const roundTrip = gauge(
    'sockswitch_tunnel_round_trip_seconds',
    'Smoothed round-trip time of the connection to a peer that is up.',
    ['container', 'peer'],
  );
  for (const tunnel of source.tunnels()) {
    const { container } = tunnel;
    const { up, fallback } = summaryOf(tunnel);
    peers.set({ container, state: 'up' }, up);
    peers.set({ container, state: 'fallback' }, fallback);
    for (const { address, port, ...one } of tunnel.peers) {
      const peer = endpoint(address, port);
      if (one.state === 'up') {
        roundTrip.set({ container, peer }, one.roundTripMicroseconds / 1e6);
      } else if (one.sentPayloads === 0) continue;
      const labels = { container, peer, direction: 'sent' };
      payload.inc(labels, one.sentBytes);
      payloads.inc(labels, one.sentPayloads);
      dropped.inc(labels, one.dropped);
    }
    for (const { address, port, ...one } of tunnel.sources) {
      const labels = { container, peer: endpoint(address, port), direction: 'received' };
      payload.inc(labels, one.receivedBytes);
      payloads.inc(labels, one.receivedPayloads);
      dropped.inc(labels, one.dropped);
    }
  }
  return `${await registry.metrics()}\n${latency(rows, source)}`;
}

/** prom-client's histograms only count what they see themselves; this one was counted in the data plane. */
function latency(rows: readonly ContainerRow[], source: MetricsSource): string {
  const name = 'sockswitch_connect_duration_seconds';
  const lines = [
    `# HELP ${name} From a connect's report to the daemon to its answer.`,
    `# TYPE ${name} histogram`,
  ];
  for (const { id } of rows) {
    const histogram = source.latencyOf(id);
    if (histogram === undefined) continue;
    const of = `container="${label(id)}"`;
    let total = 0;
    histogram.counts.forEach((count, index) => {
      total += count;
      const bound = histogram.bounds[index];
      lines.push(
        `${name}_bucket{${of},le="${bound === undefined ? '+Inf' : plain(bound)}"} ${total}`,
      );
    });
    lines.push(`${name}_sum{${of}} ${histogram.sum}`, `${name}_count{${of}} ${total}`);
  }
  return `${lines.join('\n')}\n`;
}

/** Without the noise of binary fractions: 0.00002, not 0.000019999999999999998. */
function plain(seconds: number): string {
  return String(Number(seconds.toPrecision(6)));
}

/** A label's value, escaped. */
function label(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

/** Serves GET /metrics; the caller listens. */
export function metricsServer(source: MetricsSource, onDefect: (error: unknown) => void): Server {
  return boundedServer((request, response) => {
    if (request.method !== 'GET' || request.url !== '/metrics') {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('GET /metrics\n');
      return;
    }
    scrape(source).then(
      (text) => response.writeHead(200, { 'content-type': CONTENT_TYPE }).end(text),
      (error: unknown) => {
        onDefect(error);
        response.writeHead(500, { 'content-type': 'text/plain' }).end('internal error\n');
      },
    );
  });
}
