/** Seconds by stage. Stages may nest: time of an inner stage does not count for the outer one. */
export interface Clock<Stage extends string> {
  time<T>(stage: Stage, work: () => T): T;
  seconds(): Record<Stage | 'total', number>;
}

export function createClock<Stage extends string>(stages: readonly Stage[]): Clock<Stage> {
  const started = performance.now();
  const spent = new Map<Stage, number>(stages.map((stage) => [stage, 0]));
  const stack: Stage[] = [];
  let since = started;

  function charge(): void {
    const now = performance.now();
    const stage = stack.at(-1);
    if (stage !== undefined) spent.set(stage, spent.get(stage)! + now - since);
    since = now;
  }

  function leave(): void {
    charge();
    stack.pop();
  }

  return {
    time: (stage, work) => {
      charge();
      stack.push(stage);
      let result: ReturnType<typeof work>;
      try {
        result = work();
      } catch (error) {
        leave();
        throw error;
      }
      if (!(result instanceof Promise)) {
        leave();
        return result;
      }
      return result.finally(leave) as typeof result;
    },
    seconds: () => {
      const rounded = (milliseconds: number) => Math.round(milliseconds) / 1000;
      return {
        ...Object.fromEntries([...spent].map(([stage, milliseconds]) => [stage, rounded(milliseconds)])),
        total: rounded(performance.now() - started),
      } as Record<Stage | 'total', number>;
    },
  };
}
