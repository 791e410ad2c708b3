/** What a user writes as a destination: ADDRESS, ADDRESS:PORT, [V6]:PORT, NAME or NAME:PORT; with "/udp" or "/tcp" behind. */
import { isIP, isIPv6 } from 'node:net';
import { UserError } from '../base/errors.js';
import { quote } from '../base/text.js';

/** Where no TCP port is given. */
const DEFAULT_PORT = 443;

export interface Destination {
  /** A numeric address, or a name to resolve. */
  readonly host: string;
  readonly numeric: boolean;
  readonly port: number;
  readonly protocol: 'tcp' | 'udp';
}

/** Throws UserError. */
export function parseDestination(text: string): Destination {
  const [, where = text, suffix = 'tcp'] = /^(.*)\/(tcp|udp)$/.exec(text) ?? [];
  const protocol = suffix === 'udp' ? 'udp' : 'tcp';
  if (isIPv6(where)) {
    return {
      host: numericOnly(where),
      numeric: true,
      port: parsePort(undefined, protocol),
      protocol,
    };
  }
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::([0-9]+))?$/.exec(where);
  const bracketed = match?.[1];
  const host = bracketed ?? match?.[2];
  if (host === undefined || (bracketed !== undefined && !isIPv6(bracketed))) {
    throw new UserError(
      `destination ${quote(text)} is not understood: write ADDRESS, ADDRESS:PORT, [IPV6]:PORT or NAME[:PORT], with /udp behind for UDP`,
    );
  }
  const numeric = isIP(host) !== 0;
  if (!numeric && !/^[a-zA-Z0-9._-]{1,253}$/.test(host)) {
    throw new UserError(`destination ${quote(host)} is neither an address nor a host name`);
  }
  return { host: numericOnly(host), numeric, port: parsePort(match?.[3], protocol), protocol };
}

function parsePort(text: string | undefined, protocol: Destination['protocol']): number {
  if (text === undefined) {
    if (protocol === 'tcp') return DEFAULT_PORT;
    throw new UserError('a UDP destination has no port: write ADDRESS:PORT/udp or [IPV6]:PORT/udp');
  }
  const port = Number(text);
  if (port <= 65535) return port;
  throw new UserError(`port ${quote(text)} is too large: write a number from 0 to 65535`);
}

function numericOnly(host: string): string {
  if (!host.includes('%')) return host;
  throw new UserError(
    `destination ${quote(host)} has an interface in it: leave out "%" and what follows (such addresses are link-local and never switched)`,
  );
}
