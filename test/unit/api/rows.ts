/** Answers of the control API's lists, with the least that a row can say; tests add what they are about. */
import type { ContainerList, SocketRow } from '../../../src/api/protocol.js';

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
    counts: { switched: 0, fallback: 0, refused: 0, passed: 0 },
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
