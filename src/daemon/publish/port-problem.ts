/** Why a port of the host cannot be had, in words that help: who has it, or what stands against it. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { Addon, Mapping } from '../../addon/addon.js';
import { codeOf, messageOf } from '../../base/errors.js';
import { shorten } from '../../base/text.js';

/** `error`: what `Engine.reserve` threw. */
export function whyNotReserved(
  mapping: Mapping,
  error: unknown,
  portHolders: Addon['portHolders'],
): string {
  const port = hostPortText(mapping);
  switch (codeOf(error)) {
    case 'EADDRINUSE':
      return `${port} is taken${holderOf(mapping, portHolders)}: choose another host port, end that program, or, if it is published with -p as well, do it in one way only`;
    case 'EACCES':
      return `${port} is below ${unprivilegedPortStart()}, the first port that users may have: choose a higher one, or lower net.ipv4.ip_unprivileged_port_start`;
    case 'EADDRNOTAVAIL':
      return `${port} cannot be published: ${mapping.hostAddress ?? 'the address'} is no address of this host; see "ip address", or leave the address out`;
    default:
      return `${port} cannot be published: ${messageOf(error)}`;
  }
}

/** " by nginx (pid 12)", as far as it can be told. */
function holderOf(mapping: Mapping, portHolders: Addon['portHolders']): string {
  const holders = portHolders(mapping.protocol, mapping.hostPort);
  const [first] = holders;
  if (first === undefined) return '';
  for (const { inode } of holders) {
    const process = processWithSocket(inode);
    if (process !== undefined) return ` by ${process}`;
  }
  return ` by a process of user ${first.uid}`;
}

/** "host port 80/tcp on 10.0.0.1". */
export function hostPortText({ hostAddress, hostPort, protocol }: Mapping): string {
  const on = hostAddress === undefined ? '' : ` on ${hostAddress}`;
  return `host port ${hostPort}/${protocol}${on}`;
}

function unprivilegedPortStart(): string {
  try {
    return readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8').trim();
  } catch {
    return '1024';
  }
}

/** "nginx (pid 12)": a process of this user that has a socket; others' descriptors are hidden. */
function processWithSocket(inode: number): string | undefined {
  const wanted = `socket:[${inode}]`;
  for (const pid of listOf('/proc').filter((name) => /^[0-9]+$/.test(name))) {
    const directory = `/proc/${pid}/fd`;
    for (const fd of listOf(directory)) {
      if (linkOf(`${directory}/${fd}`) !== wanted) continue;
      return `${shorten(textOf(`/proc/${pid}/comm`).trim(), 32)} (pid ${pid})`;
    }
  }
  return undefined;
}

function listOf(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
