/** What `ps` and `explain` say of nested network namespaces. */
import type { Nested } from '../api/protocol.js';

/** As the data plane has it (native/notify/nested_networks.h). */
const MOST = 1000;

/**
 * `12 connections of 3 namespaces`; `3 namespaces` where none was left alone for being nested. After a restart of the
 * daemon no namespace may be known yet.
 */
export function nestedText({ networks, connects }: Nested): string {
  const what = connects === 1 ? '1 connection' : `${connects} connections`;
  if (networks === 0) return what;
  const where =
    networks === 1 ? '1 namespace' : `${networks}${networks >= MOST ? ' or more' : ''} namespaces`;
  return connects === 0 ? where : `${what} of ${where}`;
}
