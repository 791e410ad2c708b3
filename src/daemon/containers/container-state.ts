/**
 * The ContainerProcessState that a runtime sends with a notification descriptor (OCI runtime
 * specification, config-linux.md, "The Container Process State").
 */
import { z } from 'zod';
import { messageOf, UserError } from '../../base/errors.js';
import { quote, shorten } from '../../base/text.js';
import { MAX_METADATA } from '../../oci/listener-metadata.js';

const schema = z.object({
  ociVersion: z.string(),
  fds: z.tuple([z.literal('seccompFd')]),
  // crun says 0 for `podman exec`: the process is then taken from the first notification.
  pid: z.int().nonnegative().default(0),
  /** What the profile says: ours, or whatever another tool writes there. */
  metadata: z.string().max(MAX_METADATA).default(''),
  state: z.object({
    id: z.string().min(1).max(1024),
    status: z.enum(['creating', 'created', 'running', 'stopped']),
    pid: z.int().nonnegative().default(0),
    bundle: z.string(),
    annotations: z.record(z.string(), z.string()).default({}),
  }),
});

export type ContainerProcessState = z.infer<typeof schema>;

/** Throws UserError, which says what is wrong with it. */
export function parseContainerState(text: string): ContainerProcessState {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new UserError(`the container's state is not JSON: ${shorten(messageOf(error))}`);
  }
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new UserError(
    `the container's state is not what the OCI runtime specification says: ${quote(issue?.path.join('.') ?? '')}: ${shorten(issue?.message ?? '')}`,
  );
}
