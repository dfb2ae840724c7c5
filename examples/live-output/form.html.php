<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Export</title>
<style>body { font: 1rem/1.5 system-ui; max-width: 40rem; margin: 2rem auto; padding: 0 1rem } input { width: 6rem }</style>
<h1>Export</h1>
<form method="post" action="/exports">
  <input type="hidden" name="form" value="<?= bin2hex(random_bytes(16)) ?>"><!-- sent twice, it is one export -->
  <p><label>Rows <input name="rows" type="number" min="1" max="10000" value="20"></label>
     <label>ms a row <input name="ms" type="number" min="0" max="5000" value="300"></label>
     <button>Start</button></p>
</form>
