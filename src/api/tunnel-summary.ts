/** What the list of a container's tunnels amounts to: for a row of `ps`, for `explain`, for what is wrong. */
import ipaddr from 'ipaddr.js';
import type { TunnelExplanation, TunnelRow, TunnelSummary } from './protocol.js';

export function summaryOf(tunnel: TunnelRow): TunnelSummary {
  const up = tunnel.peers.filter(({ state }) => state === 'up').length;
  const reasons = [
    ...problemsOf(tunnel),
    ...tunnel.peers.flatMap(({ address, port, reason }) =>
      reason === '' ? [] : [`${endpoint(address, port)}: ${reason}`],
    ),
  ];
  return {
    up,
    fallback: tunnel.peers.length - up,
    reasons: [...new Set(reasons)],
    sentBytes: tunnel.peers.reduce((sum, { sentBytes }) => sum + sentBytes, 0),
    receivedBytes: tunnel.sources.reduce((sum, { receivedBytes }) => sum + receivedBytes, 0),
  };
}

/** What stands against all peers, or against being reached by them. */
export function problemsOf(tunnel: TunnelRow): string[] {
  return [
    tunnel.reason,
    ...tunnel.listening.flatMap(({ hostPort, problem }) =>
      problem === '' ? [] : [`cannot accept peers on TCP port ${hostPort}: ${problem}`],
    ),
  ].filter((text) => text !== '');
}

/** Which way packets to a UDP port of an address take; undefined where no tunnel has that port. `address` is numeric. */
export function explainPeer(
  tunnel: TunnelRow,
  address: string,
  port: number,
): TunnelExplanation | undefined {
  const wanted = canonical(address);
  const peer = tunnel.peers.find((one) => one.port === port && canonical(one.address) === wanted);
  if (peer === undefined && !tunnel.ports.includes(port)) return undefined;
  const devices = tunnel.devices
    .filter((device) => device.port === port)
    .map(({ name, kind }) => `${name} (${kind})`);
  if (peer !== undefined) {
    const { state, reason, since } = peer;
    return { devices, state, reason, since };
  }
  const reason =
    tunnel.reason === ''
      ? 'it is no remote of a tunnel of the container that is carried'
      : tunnel.reason;
  return { devices, state: 'fallback', reason };
}

/** "192.0.2.1:8472", "[2001:db8::1]:8472". */
export function endpoint(address: string, port: number): string {
  return `${address.includes(':') ? `[${address}]` : address}:${port}`;
}

/** One address in one spelling; IPv4-mapped ones are IPv4. */
function canonical(address: string): string {
  return ipaddr.process(address).toNormalizedString();
}
