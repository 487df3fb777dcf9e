<?php
// Takes renewald's webhooks: checks who sent a message, stores it once, and says so. Needs nothing but PHP 8.1.
//
//     SIGNING_SECRET=whsec_… INBOX=inbox php -S 127.0.0.1:8080 receiver.php
//
// INBOX gets a file ID.json for each message; what your shop does with it is another program's work, and may take its time.
declare(strict_types=1);

function is_genuine(string $id, string $sent_at, string $signatures, string $body): bool
{
    $key = base64_decode(preg_replace('/^whsec_/', '', getenv('SIGNING_SECRET')));
    $ours = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$sent_at.$body", $key, true));
    $is_ours = false;
    foreach (explode(' ', $signatures) as $one) {
        $is_ours = hash_equals($ours, $one) || $is_ours;
    }
    return $is_ours && ctype_digit($sent_at) && abs(time() - (int) $sent_at) < 300;
}

// On disk when this returns. A message that comes again is the same file with the same content.
function store(string $id, string $body): bool
{
    $inbox = getenv('INBOX');
    is_dir($inbox) || mkdir($inbox, 0700, true);
    $part = tempnam($inbox, '.');
    $file = $part ? fopen($part, 'wb') : false;
    return $file && fwrite($file, $body) === strlen($body) && fsync($file) && fclose($file) && rename($part, "$inbox/$id.json");
}

$id = $_SERVER['HTTP_WEBHOOK_ID'] ?? '';
$sent_at = $_SERVER['HTTP_WEBHOOK_TIMESTAMP'] ?? '';
$signatures = $_SERVER['HTTP_WEBHOOK_SIGNATURE'] ?? '';
$body = file_get_contents('php://input');
if (!preg_match('/\A[0-9a-f-]{36}\z/', $id) || !is_genuine($id, $sent_at, $signatures, $body)) {
    http_response_code(401);
} else {
    http_response_code(store($id, $body) ? 204 : 500);
}
