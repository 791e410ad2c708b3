/**
 * A service in a container whose ports are published: its clients' throughput and connections, and whether it sees their
 * address. Over the host's loopback sockswitch cannot use a host socket: it relays, as rootlessport does for every client.
 */
import { notTuned } from '../drivers/pasta-tuned.js';
import { parseWrk, WRK, wrk } from './connections.js';
import { configureNginx, NGINX } from './nginx.js';
import { answered, outputs, steps } from './steps.js';
import { iperf3, readTcpReport } from './throughput.js';
import type { InboundTarget, InboundWorkload, Metrics, Settings } from './workload.js';

const WARM_UP_SECONDS = 1;

const COMMON = {
  kind: 'inbound',
  program: `iperf3; ${WRK}, to nginx`,
  baseline: 'host',
  seconds: 2,
  rounds: 2,
  needs: { lab: true },
  suits: notTuned,
  ports: 2,
  serve: ([http, bulk]: readonly number[]) => `iperf3 -s -p ${bulk} >/dev/null &
${configureNginx(`  server {
    listen ${http};
    location / { default_type text/plain; return 200 "$remote_addr\n"; }
  }`)}
exec ${NGINX}`,
} as const;

/** Prints the client's address as the service sees it, once the service answers. */
function firstRequest({ server, ports: [http], client }: InboundTarget): string {
  const request = `seen=$(curl -sf -m 1 --interface ${client} http://${server}:${http}/)`;
  return `${answered(request)}
      printf '%s\n' "$seen"`;
}

function connections({ server, ports: [http] }: InboundTarget, { seconds }: Settings): string {
  return wrk(`http://${server}:${http}/`, seconds).join(' && ');
}

function bulk(
  { server, ports: [, port] }: InboundTarget,
  { seconds }: Settings,
  options = '',
): string {
  return iperf3(`-c ${server} -p ${port} -t ${seconds} -O ${WARM_UP_SECONDS}${options}`);
}

export const inboundRemote: InboundWorkload = {
  ...COMMON,
  name: 'inbound-remote',
  title: 'published ports, from another machine',
  metrics: [
    { name: 'in_gbits', title: 'to the container', unit: 'Gbit/s', better: 'higher' },
    { name: 'out_gbits', title: 'from the container', unit: 'Gbit/s', better: 'higher' },
    { name: 'per_second', title: 'connections', unit: '1/s', better: 'higher' },
    {
      name: 'client_seen',
      title: "sees the client's address",
      unit: '',
      better: 'higher',
      withoutRatio: true,
      yesNo: true,
    },
  ],
  from: 'remote',
  client: (target, settings) =>
    steps(
      `${firstRequest(target)}\necho '${target.client}'`,
      connections(target, settings),
      bulk(target, settings),
      bulk(target, settings, ' -R'),
    ),
  parse: (output): Metrics => {
    const [addresses = '', rate = '', into = '', from = ''] = outputs(output);
    const [seen, client] = addresses.trim().split('\n');
    return {
      in_gbits: readTcpReport(into).gbits,
      out_gbits: readTcpReport(from).gbits,
      per_second: parseWrk(rate).per_second,
      client_seen: seen === client ? 1 : 0,
    };
  },
};

export const inboundHost: InboundWorkload = {
  ...COMMON,
  name: 'inbound-host',
  title: 'published ports, from the host over its loopback',
  metrics: [
    { name: 'gbits', title: 'to the container', unit: 'Gbit/s', better: 'higher' },
    { name: 'per_second', title: 'connections', unit: '1/s', better: 'higher' },
  ],
  from: 'host',
  client: (target, settings) =>
    steps(firstRequest(target), connections(target, settings), bulk(target, settings)),
  parse: (output): Metrics => {
    const [, rate = '', into = ''] = outputs(output);
    return { gbits: readTcpReport(into).gbits, per_second: parseWrk(rate).per_second };
  },
};
