/**
 * The API of bypass4netnsd, as nerdctl speaks it, so that nerdctl and Usernetes use sockswitch unchanged.
 *
 *   POST   /v1/bypass        Bypass -> 201 BypassStatus   a container is about to start; may be repeated
 *   GET    /v1/bypass        -> 200 BypassStatus[]
 *   DELETE /v1/bypass/ID     -> 200, empty                also for an id that is not known
 *
 * An error has status 400 and the body { message }. nerdctl writes the container's seccomp rule itself and
 * names `socketPath` in it: that becomes a symbolic link to the keeper's socket, so there is nothing to
 * serve for each container. What was registered is kept in a file, since its listeners outlive the daemon.
 */
import { lstatSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import fastify, { type FastifyError, type FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { Mapping } from '../addon/addon.js';
import { codeOf, messageOf, remedy, UserError } from '../base/errors.js';
import { quote, shorten } from '../base/text.js';
import type { ContainerRequest } from '../oci/annotations.js';
import { type Prefix, parsePrefix } from '../policy/prefix.js';
import { parsePublish } from '../policy/publish.js';
import { boundedServer } from './http-server.js';

const MAX_BODY_BYTES = 1024 * 1024;
/** `sun_path` of a Unix socket address, without the ending zero. */
const MAX_SOCKET_PATH = 107;

const portSchema = z.looseObject({
  protos: z.array(z.enum(['tcp', 'udp'])).nullish(),
  parentIP: z.string().nullish(),
  parentPort: z.int().min(1).max(65535),
  childPort: z.int().min(1).max(65535),
});

const bypassSchema = z.looseObject({
  id: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,1023}$/),
  socketPath: z.string().startsWith('/').max(MAX_SOCKET_PATH),
  portMapping: z.array(portSchema).nullish(),
  ignoreSubnets: z.array(z.string()).nullish(),
  ignoreBind: z.boolean().nullish(),
});
type Bypass = z.infer<typeof bypassSchema>;

export interface BypassStatus {
  readonly id: string;
  readonly pid: number;
  readonly spec: Bypass;
}

export interface NerdctlOptions {
  /** What `socketPath` of a request is linked to. */
  readonly listenerSocket: string;
  /** Where registrations are kept. */
  readonly file: string;
  /** Reserves the container's ports. Throws UserError. */
  reserve(container: string, mappings: readonly Mapping[]): void;
  release(container: string): void;
  /** Told once what became of registrations that cannot be read or kept. */
  onProblem(problem: string): void;
}

interface Registration {
  readonly spec: Bypass;
  readonly request: ContainerRequest;
}

export class NerdctlContainers {
  readonly #options: NerdctlOptions;
  readonly #registered = new Map<string, Registration>();
  /** Whether the file is older than what is registered, which was told. */
  #unsaved = false;

  /** Takes over what an earlier daemon had registered. */
  constructor(options: NerdctlOptions) {
    this.#options = options;
    for (const spec of readRegistrations(options)) {
      this.#registered.set(spec.id, { spec, request: requestOf(spec) });
    }
  }

  /** What a container asked for; undefined: nerdctl has not told of it. */
  requestOf(id: string): ContainerRequest | undefined {
    return this.#registered.get(id)?.request;
  }

  /** Throws UserError. */
  add(body: unknown): BypassStatus {
    const spec = parseBypass(body);
    const request = requestOf(spec);
    this.#options.reserve(spec.id, request.publish);
    try {
      link(spec.socketPath, this.#options.listenerSocket);
    } catch (error) {
      if (!this.#registered.has(spec.id)) this.#options.release(spec.id);
      throw error;
    }
    this.#registered.set(spec.id, { spec, request });
    this.#save();
    return statusOf(spec);
  }

  list(): BypassStatus[] {
    return [...this.#registered.values()].map(({ spec }) => statusOf(spec));
  }

  remove(id: string): void {
    const registration = this.#registered.get(id);
    if (registration === undefined) return;
    this.#registered.delete(id);
    this.#save();
    const { socketPath } = registration.spec;
    if (isSymbolicLink(socketPath)) rmSync(socketPath, { force: true });
    this.#options.release(id);
  }

  #save(): void {
    const { file } = this.#options;
    const specs = [...this.#registered.values()].map(({ spec }) => spec);
    try {
      writeFileSync(`${file}.new`, JSON.stringify(specs), { mode: 0o600 });
      renameSync(`${file}.new`, file);
    } catch (error) {
      if (this.#unsaved) return;
      this.#unsaved = true;
      this.#options.onProblem(
        `cannot write ${quote(file)} (${codeOf(error) ?? messageOf(error)}): after a restart of the daemon nerdctl's containers go on without acceleration; ${remedy(error) ?? 'remove it'}`,
      );
      return;
    }
    this.#unsaved = false;
  }
}

/** Builds the server; the caller listens. */
export function nerdctlServer(containers: NerdctlContainers): FastifyInstance {
  const server = fastify({
    bodyLimit: MAX_BODY_BYTES,
    forceCloseConnections: true,
    serverFactory: boundedServer,
  });
  // nerdctl does not always say that its body is JSON.
  server.removeAllContentTypeParsers();
  server.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => {
    try {
      done(null, JSON.parse(body.toString()));
    } catch (error) {
      done(new UserError(`the request is not JSON: ${shorten(messageOf(error))}`));
    }
  });
  server.post('/v1/bypass', (request, reply) => reply.code(201).send(containers.add(request.body)));
  server.get('/v1/bypass', () => containers.list());
  server.delete<{ Params: { id: string } }>('/v1/bypass/:id', (request, reply) => {
    containers.remove(request.params.id);
    return reply.code(200).send();
  });
  server.setNotFoundHandler((request, reply) =>
    reply.code(404).send({ message: `there is no ${request.method} ${request.url}` }),
  );
  server.setErrorHandler((error: FastifyError, _request, reply) =>
    reply
      .code(error instanceof UserError ? 400 : (error.statusCode ?? 400))
      .send({ message: error.message }),
  );
  return server;
}

function statusOf(spec: Bypass): BypassStatus {
  return { id: spec.id, pid: process.pid, spec };
}

function parseBypass(body: unknown): Bypass {
  const parsed = bypassSchema.safeParse(body);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const where = issue?.path.join('.') ?? '';
  throw new UserError(
    `the request's ${where === '' ? 'body' : quote(where)}: ${issue?.message ?? 'not understood'}`,
  );
}

/** Throws UserError. */
function requestOf(spec: Bypass): ContainerRequest {
  const ports = spec.ignoreBind === true ? [] : (spec.portMapping ?? []);
  return {
    enabled: true,
    required: false,
    ignore: (spec.ignoreSubnets ?? []).filter((subnet) => subnet !== 'auto').map(subnetOf),
    publish: parsePublish(ports.flatMap(entriesOf).join(' '), 'portMapping'),
    ignoreFirewall: false,
    podsEgress: false,
    podsNetworks: [],
    hostNames: true,
    tunnels: 'published',
  };
}

function subnetOf(text: string): Prefix {
  const prefix = parsePrefix(text);
  if (prefix !== undefined) return prefix;
  throw new UserError(
    `ignoreSubnets holds ${quote(text)}: write prefixes such as 10.0.0.0/8, or "auto"`,
  );
}

/** One mapping for each protocol, as the annotation would have it. */
function entriesOf(port: z.infer<typeof portSchema>): string[] {
  const ip = port.parentIP ?? '';
  const address = ip === '' ? '' : `${isIPv6(ip) ? `[${ip}]` : ip}:`;
  return (port.protos ?? ['tcp']).map(
    (protocol) => `${address}${port.parentPort}:${port.childPort}/${protocol}`,
  );
}

/** Makes `path` lead to `target`; what was there must be a socket or a link. Throws UserError. */
function link(path: string, target: string): void {
  try {
    const present = lstatSync(path, { throwIfNoEntry: false });
    if (present !== undefined && !present.isSocket() && !present.isSymbolicLink()) {
      throw new UserError(
        `socketPath ${quote(path)} is no socket: remove it, or name another path`,
      );
    }
    rmSync(path, { force: true });
    symlinkSync(target, path);
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(
      `cannot make socketPath ${quote(path)} (${codeOf(error) ?? messageOf(error)}): its directory must exist and be this user's`,
    );
  }
}

function isSymbolicLink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
}

function readRegistrations({
  file,
  onProblem,
}: Pick<NerdctlOptions, 'file' | 'onProblem'>): Bypass[] {
  try {
    return z.array(bypassSchema).parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') {
      const why = error instanceof z.ZodError ? 'not what sockswitch writes' : messageOf(error);
      onProblem(
        `cannot read ${quote(file)} (${why}): the containers that nerdctl had registered go on without acceleration`,
      );
    }
    return [];
  }
}
