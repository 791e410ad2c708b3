/** Answers of the control API's lists, with the least that a row can say; tests add what they are about. */
import type { ContainerList, SocketRow, TunnelRow } from '../../../src/api/protocol.js';

type ContainerRow = ContainerList['containers'][number];

export function containerRow(more: Partial<ContainerRow> = {}): ContainerRow {
  return {
    id: 'a'.repeat(64),
    startedAt: '',
    pid: 1,
    listeners: 1,
    status: 'running',
    annotations: {},
    ignore: [],
    publish: [],
    counts: { switched: 0, fallback: 0, passed: 0 },
    reasons: [],
    ...more,
  };
}

export function socketRow(more: Partial<SocketRow> = {}): SocketRow {
  return {
    container: 'a'.repeat(64),
    pid: 1,
    fd: 3,
    state: 'ESTAB',
    local: '',
    remote: '',
    bytesSent: 0,
    bytesReceived: 0,
    roundTripMicroseconds: 0,
    ...more,
  };
}

export function tunnelRow(more: Partial<TunnelRow> = {}): TunnelRow {
  return {
    container: 'a'.repeat(64),
    ports: [8472],
    reason: '',
    devices: [{ name: 'flannel.1', kind: 'vxlan', port: 8472 }],
    listening: [],
    peers: [],
    sources: [],
    unsent: 0,
    ...more,
  };
}

export function tunnelPeer(more: Partial<TunnelRow['peers'][number]> = {}) {
  return {
    address: '192.0.2.1',
    port: 8472,
    state: 'up',
    reason: '',
    since: '2026-01-01T00:00:00.000Z',
    sentBytes: 0,
    sentPayloads: 0,
    dropped: 0,
    roundTripMicroseconds: 0,
    ...more,
  };
}

export function tunnelSource(more: Partial<TunnelRow['sources'][number]> = {}) {
  return {
    address: '192.0.2.1',
    port: 8472,
    since: '2026-01-01T00:00:00.000Z',
    receivedBytes: 0,
    receivedPayloads: 0,
    dropped: 0,
    ...more,
  };
}
