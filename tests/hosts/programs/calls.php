<?php
// Calls the leaf with each HTTP client that PHP has, by ?with=: streams and sockets are in the program itself, curl is an extension.
$base = 'http://127.0.0.1:' . $_SERVER['LEAF'];
$path = '/leaf' . parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
switch ($_GET['with'] ?? 'none') {
case 'streams':
    $context = stream_context_create(['http' => ['method' => 'GET', 'header' => "Connection: close\r\n"]]);
    echo file_get_contents($base . $path, false, $context);
    break;
case 'fsockopen':
    $s = fsockopen('127.0.0.1', (int)$_SERVER['LEAF']);
    fwrite($s, "GET $path HTTP/1.1\r\nHost: leaf\r\nConnection: close\r\n\r\n");
    $answer = stream_get_contents($s);
    echo substr($answer, strpos($answer, "\r\n\r\n") + 4);
    break;
case 'curl':
    $c = curl_init($base . $path);
    curl_setopt($c, CURLOPT_RETURNTRANSFER, true);
    echo curl_exec($c);
    break;
default:
    echo 'plain ', $_SERVER['REQUEST_METHOD'], ' ', strlen(file_get_contents('php://input'));
}
