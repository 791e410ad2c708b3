/** What `ps` and `explain` say of nested network namespaces. */
import type { Nested } from '../api/protocol.js';

/** As the data plane has it (native/notify/nested_networks.h). */
const MOST = 1000;

/** `12 connections of 3 namespaces`. After a restart of the daemon no namespace may be known yet. */
export function nestedText({ networks, connects }: Nested): string {
  const what = connects === 1 ? '1 connection' : `${connects} connections`;
  if (networks === 0) return what;
  if (networks === 1) return `${what} of 1 namespace`;
  return `${what} of ${networks}${networks >= MOST ? ' or more' : ''} namespaces`;
}
