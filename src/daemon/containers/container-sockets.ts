/**
 * Which host sockets a container has: looked up when somebody asks, nothing is followed.
 *
 * A container's processes are those in its first process's pid namespace, unless that is the host's, and those in
 * its cgroup, as pods of a node are, which have pid namespaces of their own. Their descriptors name sockets by inode; an inode that is among the connected sockets of the
 * host's network namespace is a switched socket.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { TcpSocket } from '../../addon/addon.js';

export interface OwnedSocket extends TcpSocket {
  /** A process of the container that has it, as the host numbers it, and that process's descriptor. */
  readonly pid: number;
  readonly fd: number;
}

/** The switched sockets of the container whose first process is `pid`; each once. */
export function socketsOf(
  container: { readonly id: string; readonly pid: number },
  hostSockets: readonly TcpSocket[],
  proc = '/proc',
): OwnedSocket[] {
  const wanted = new Map(hostSockets.map((socket) => [socket.inode, socket]));
  const found: OwnedSocket[] = [];
  for (const pid of processesOf(container, proc)) {
    for (const [fd, inode] of socketInodes(`${proc}/${pid}/fd`)) {
      const socket = wanted.get(inode);
      if (socket === undefined) continue;
      wanted.delete(inode);
      found.push({ ...socket, pid, fd });
    }
  }
  return found;
}

function processesOf(
  container: { readonly id: string; readonly pid: number },
  proc: string,
): number[] {
  const namespace = link(`${proc}/${container.pid}/ns/pid`);
  const own = link(`${proc}/self/ns/pid`);
  const byNamespace = namespace !== undefined && namespace !== own;
  return processes(proc).filter(
    (pid) =>
      (byNamespace && link(`${proc}/${pid}/ns/pid`) === namespace) ||
      cgroupOf(pid, proc).some((name) => name.includes(container.id) && !name.includes('conmon')),
  );
}

function processes(proc: string): number[] {
  return readdirSync(proc).map(Number).filter(Number.isInteger);
}

/** The parts of its cgroup's path. */
function cgroupOf(pid: number, proc: string): string[] {
  try {
    return readFileSync(`${proc}/${pid}/cgroup`, 'utf8').split(/[/\n]/);
  } catch {
    return [];
  }
}

/** Descriptor and inode of each socket; nothing of a process that has ended or is not ours. */
function socketInodes(directory: string): [number, number][] {
  try {
    return readdirSync(directory).flatMap((fd): [number, number][] => {
      const inode = /^socket:\[([0-9]+)\]$/.exec(link(`${directory}/${fd}`) ?? '')?.[1];
      return inode === undefined ? [] : [[Number(fd), Number(inode)]];
    });
  } catch {
    return [];
  }
}

function link(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

/** The numbers of netinet/tcp.h, in the spelling of ss(8). */
const STATES = [
  ...['UNKNOWN', 'ESTAB', 'SYN-SENT', 'SYN-RECV', 'FIN-WAIT-1', 'FIN-WAIT-2', 'TIME-WAIT'],
  ...['CLOSE', 'CLOSE-WAIT', 'LAST-ACK', 'LISTEN', 'CLOSING'],
] as const;

export function stateName(state: number): string {
  return STATES[state] ?? STATES[0];
}
