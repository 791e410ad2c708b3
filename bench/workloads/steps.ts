/** Several measurements in one script, whose outputs are told apart by a line between them. */
const NEXT = '-- next --';

export function steps(...scripts: readonly string[]): string {
  return scripts.join(`\necho '${NEXT}'\n`);
}

export function outputs(output: string): string[] {
  return output.split(`${NEXT}\n`);
}
