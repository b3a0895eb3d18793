"""The engines that a judge can ask: vLLM in a process, any OpenAI-compatible server, recorded verdicts."""
