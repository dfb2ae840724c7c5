<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Export</title>
<style>
  body { font: 1rem/1.5 system-ui; max-width: 40rem; margin: 2rem auto; padding: 0 1rem }
  progress { width: 100% }
  pre { background: #8881; padding: .5rem .75rem; height: 20rem; overflow: auto }
</style>
<h1>Export</h1>
<main data-id="<?= htmlspecialchars($id) ?>" data-watch="<?= htmlspecialchars($watch) ?>">
  <p><strong role="status">waiting</strong> <span id="message"></span> <span id="via"></span></p>
  <progress max="100" value="0" aria-label="Export"></progress>
  <pre role="log" aria-label="Output" tabindex="0"></pre>
  <p id="result"></p>
  <p><a href="/">Another one</a></p>
</main>
<script type="module" src="/export.js"></script>
