<?php
// Places an order through renewald, and takes what it brings from the built-in queue. Needs nothing but PHP 8.1.
//
//     SHOP_TOKEN=… TOKEN=… php order.php http://127.0.0.1:9464 nexway order.json
//
// Prints a line for each message it has taken. Run it again with the same order: it is placed once.
declare(strict_types=1);

[, $address, $provider, $file] = $argv;

/** @return array{int, int, array} the status, the seconds to wait, the answer */
function post(string $path, string $token, array $body): array
{
    global $address;
    $headers = ['Authorization: Bearer ' . getenv($token), 'Content-Type: application/json'];
    $http = ['method' => 'POST', 'header' => $headers, 'ignore_errors' => true, 'timeout' => 300];
    $http['content'] = json_encode($body, JSON_PRESERVE_ZERO_FRACTION | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE);
    $answer = file_get_contents($address . $path, false, stream_context_create(['http' => $http]));
    $answer !== false || exit("nobody answers at $address\n");
    $head = implode("\n", $http_response_header);
    $wait = preg_match('/^retry-after: (\d+)/im', $head, $found) ? (int) $found[1] : 10;
    return [(int) explode(' ', $head)[1], $wait, json_decode($answer, true)];
}

// 503: not now, or it is not known yet whether the provider has it. To send the same again is safe.
function place(array $order): array
{
    global $provider;
    for ($tries = 0; $tries < 60; $tries++) {
        [$status, $wait, $answer] = post("/v1/shop/$provider/order", 'SHOP_TOKEN', ['order' => $order, 'deliver' => true]);
        if ($status === 200) {
            return $answer;
        }
        $status === 503 || exit($answer['detail'] . "\n");
        sleep($wait);
    }
    exit("still not known: ask again later\n");
}

$waiting = place(json_decode(file_get_contents($file), true))['subscriptions'];
while ($waiting) {
    foreach (post('/v1/queue:claim', 'TOKEN', ['max' => 10, 'wait_seconds' => 60])[2]['messages'] as $message) {
        // Store it here, before you say that it has arrived.
        post('/v1/queue:ack', 'TOKEN', ['ids' => [$message['id']]]);
        $data = $message['event']['data'];
        $subscription = $data['subscription']['subscription_id'];
        echo $message['id'], ' ', $data['occasion'] ?? '', ' ', $subscription, "\n";
        $waiting = array_diff($waiting, [$subscription]);
    }
}
