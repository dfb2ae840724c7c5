<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Order</title>
<style>
  body { font: 1rem/1.5 system-ui; max-width: 32rem; margin: 2rem auto; padding: 0 1rem }
  label { display: block; margin: .75rem 0 } input, select { font: inherit; display: block }
  small { color: #b00; display: block }
</style>
<h1>Order</h1>
<form method="post" action="/orders" novalidate>
  <input type="hidden" name="id" value="<?= bin2hex(random_bytes(16)) ?>"><!-- sent twice, it is one order -->
  <label>E-mail <input name="email" type="email" autocomplete="email"><small data-for="email"></small></label>
  <label>Item <select name="item"><?php foreach (ITEMS as $item): ?><option><?= $item ?></option><?php endforeach ?></select><small data-for="item"></small></label>
  <label>Quantity <input name="quantity" type="number" min="1" max="100" value="1"><small data-for="quantity"></small></label>
  <button>Order</button> <small data-for="id"></small>
</form>
<p role="status"></p>
<p><a href="/">Another one</a></p>
<script type="module" src="/form.js"></script>
